// The root file system of the commands.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "modules.h"
#include "uevents.h"
#include "wire/messages.h"

namespace vmette::agent {

// What the rest of the agent needs to know about the root once it is set up.
struct RootFs {
  UniqueFd directory;         // O_PATH, the commands' root
  bool needs_chroot = false;  // false: the agent's own root is the commands' root
  UniqueFd proc;              // O_PATH, the agent's view of /proc
  UniqueFd cgroups;           // O_PATH, the cgroup2 mount; invalid where the kernel has none
};

// Where the commands' root is not the agent's, the agent is in there for this object's life.
class InsideRoot {
 public:
  explicit InsideRoot(const RootFs& root);
  ~InsideRoot();
  InsideRoot(const InsideRoot&) = delete;
  InsideRoot& operator=(const InsideRoot&) = delete;

 private:
  UniqueFd back_;  // O_PATH, invalid: nowhere to go back to
};

// Builds the root that `setup` asks for, mounts shares and the usual kernel file systems in it and,
// with switch_root, makes it the agent's own root as well. Appends the steps it took. Throws
// SetupError.
RootFs set_up_root(const wire::Setup& setup, Modules& modules, Uevents& devices,
                   std::vector<wire::Step>& steps);

}  // namespace vmette::agent
