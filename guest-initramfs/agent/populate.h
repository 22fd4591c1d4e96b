// What programs expect to find mounted in a root. All paths are seen from the agent's current root.
#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "modules.h"
#include "wire/messages.h"

namespace vmette::agent {

// /proc, /sys and /dev. A root that has no such directory and cannot get one goes without.
void mount_kernel_file_systems();

// /dev/pts, /dev/shm and the links of /dev; /run in memory over every root but the built-in one, as
// what a root has there is of another machine; /tmp in memory where the root is read-only.
void mount_scratch(const wire::Root& root);

// Where a share is mounted, by default /mnt/<tag>.
std::string share_target(const wire::ShareSetup& share);

// Mounts each share at its target. In a read-only root a missing target
// below /mnt is created in a small tmpfs that hides /mnt. Throws SetupError of stage "share".
void mount_shares(const std::vector<wire::ShareSetup>& shares, Modules& modules);

// The cgroup2 hierarchy at /sys/fs/cgroup, as an O_PATH descriptor; invalid where there is none.
UniqueFd mount_cgroups();

}  // namespace vmette::agent
