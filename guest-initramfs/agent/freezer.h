// Stops every process but the agent, so that nothing in the guest changes until it is thawed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/unique_fd.h"
#include "root_fs.h"

namespace vmette::agent {

// Freezes control groups from the outermost that can be frozen: each command's own, and those that
// the guest has made. Processes in a group that cannot be frozen are in one of the freezer's
// meanwhile. What the guest itself has frozen stays so.
class Freezer {
 public:
  // Borrows the root for its life and looks at it when it is used.
  explicit Freezer(const RootFs& root) : root_(root) {}

  // How many processes stand still now. Throws SetupError of stage "quiesce" when one does not by
  // `deadline_us` (uptime), or the kernel cannot freeze; then all go on.
  uint64_t freeze(uint64_t deadline_us);
  // All that was frozen goes on. Nothing happens where nothing is frozen.
  void thaw();

 private:
  struct Stray {
    pid_t pid;
    bool of_root;  // it was in the outermost group, else in the commands' parent
  };

  bool pass(uint64_t deadline_us);
  bool gather_strays(int group, bool of_root);
  [[nodiscard]] bool is_kernel_thread(pid_t pid) const;
  void gather(pid_t pid, bool of_root);
  void await(int group, uint64_t deadline_us) const;
  void send_strays_back();

  const RootFs& root_;
  UniqueFd commands_;             // O_PATH, the parent of the commands' groups
  UniqueFd held_;                 // O_PATH, where strays are; invalid: there is none
  std::vector<UniqueFd> groups_;  // O_PATH, frozen by us
  std::vector<Stray> strays_;
};

}  // namespace vmette::agent
