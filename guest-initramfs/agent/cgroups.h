// One control group per command: it holds everything the command has started, whatever session or
// parent that has now, and it knows who died for lack of memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::agent {

// Below the cgroup2 mount: the group that holds every command's.
inline constexpr const char* kCommandGroups = "vmette";

// A command's group; invalid where the kernel has no cgroup2. Give it back to Cgroups::retire.
struct Cgroup {
  uint64_t number = 0;
  int watch = -1;      // of its directory, -1: none
  UniqueFd directory;  // O_PATH
  UniqueFd processes;  // its cgroup.procs and memory.events: to open them takes longer than to read
  UniqueFd events;

  [[nodiscard]] bool valid() const { return directory.valid(); }
};

// Every process in the group and in groups below it.
std::vector<pid_t> members(const Cgroup& group);
std::vector<pid_t> members(int directory);
// Those in the group itself.
std::vector<pid_t> own_members(int directory);
// SIGKILL to all of them at once, new ones included. False where the kernel cannot.
bool kill_members(const Cgroup& group);
// True when the kernel has killed a process of the group because memory ran out.
bool had_oom_kill(const Cgroup& group);

// Hands out groups below /sys/fs/cgroup/vmette. What a command did to its group never touches
// another one: a group serves again only when nobody has written to it or made a group below it.
// Making and removing one takes as long as a tenth of starting a process, so all of that happens
// between commands.
class Cgroups {
 public:
  // `root` is the cgroup2 mount, borrowed for the call; -1: there is none.
  void open(int root);

  Cgroup take();
  void retire(Cgroup group);
  // Takes groups that somebody has written to from those that wait to serve: a frozen one would
  // keep the next command from starting.
  void drop_changed_spares();
  // Keeps those of the retired groups that have emptied and are as new, removes a few others, and
  // sees to it that there is a next one; for idle moments.
  void tidy();

 private:
  static constexpr size_t kPerTidy = 4;
  static constexpr size_t kMaxSpares = 16;

  Cgroup make();
  void note_changes();
  [[nodiscard]] bool as_new(const Cgroup& group) const;
  void keep_or_remove(Cgroup group);
  bool remove(const Cgroup& group);

  UniqueFd parent_;
  UniqueFd changes_;  // inotify: writes to files of the groups, and groups made below them
  uint64_t next_ = 0;
  std::vector<Cgroup> spares_;
  std::deque<Cgroup> retired_;
  std::set<int> changed_;       // watches of groups that cannot serve again
  uint64_t first_watched_ = 1;  // groups below it may have changed unseen
};

}  // namespace vmette::agent
