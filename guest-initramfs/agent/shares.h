// The directories of the host's in a root that is set up: away before a save, back after it.
#pragma once

#include <vector>

#include "modules.h"
#include "root_fs.h"
#include "wire/messages.h"

namespace vmette::agent {

// Unmounts all of them, wherever the guest has them now. Throws SetupError of stage "quiesce" when
// one is in use or the guest has mounted one itself; EBUSY, `path` its mount point, the message
// names the process. Then all are mounted as before. No process may run meanwhile.
void unmount_shares(const RootFs& root, const std::vector<wire::ShareSetup>& shares,
                    Modules& modules);

// Throws SetupError of stage "share".
void mount_shares_again(const RootFs& root, const std::vector<wire::ShareSetup>& shares,
                        Modules& modules);

}  // namespace vmette::agent
