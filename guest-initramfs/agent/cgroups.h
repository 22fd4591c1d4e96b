// One control group per command: it holds everything the command has started, whatever session or
// parent that has now, and it knows who died for lack of memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::agent {

// A command's group; invalid where the kernel has no cgroup2. Give it back to Cgroups::retire.
struct Cgroup {
  uint64_t number = 0;
  UniqueFd directory;  // O_PATH

  [[nodiscard]] bool valid() const { return directory.valid(); }
};

// Every process in the group and in groups below it.
std::vector<pid_t> members(const Cgroup& group);
// SIGKILL to all of them at once, new ones included. False where the kernel cannot.
bool kill_members(const Cgroup& group);
// True when the kernel has killed a process of the group because memory ran out.
bool had_oom_kill(const Cgroup& group);

// Hands out groups below /sys/fs/cgroup/vmette. Each is used once: what a command did to its group
// never touches another one. Making and removing one takes as long as a tenth of starting a
// process, so it happens between commands.
class Cgroups {
 public:
  // `root` is the cgroup2 mount, borrowed for the call; -1: there is none.
  void open(int root);

  Cgroup take();
  void retire(Cgroup group);
  // Makes the next group and removes a few that have emptied; for idle moments.
  void tidy();

 private:
  static constexpr size_t kRemovalsPerTidy = 4;

  Cgroup make();

  UniqueFd parent_;
  uint64_t next_ = 0;
  Cgroup spare_;
  std::deque<uint64_t> retired_;
};

}  // namespace vmette::agent
