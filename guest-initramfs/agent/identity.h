// What makes a copy of a machine another one than its origin.
#pragma once

#include <string>

#include "root_fs.h"
#include "wire/messages.h"

namespace vmette::agent {

// Hostname and machine ID of `wake`, in the kernel and in the files of the root that have them;
// empty ones stay. `old_name`: what the agent called the machine before. Files that cannot be
// changed are named on the console; throws SetupError of stage "hostname".
void renew_identity(const RootFs& root, const std::string& old_name, const wire::Wake& wake);

}  // namespace vmette::agent
