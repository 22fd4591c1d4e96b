#pragma once

#include <string>

namespace vmette::vmm {

// For a child before its exec: leaves the host's mounts behind for a copy that nobody else sees,
// and puts `path` with all that is mounted below it at `at`, an existing directory: without setuid
// programs and devices, and read-only as a whole when `read_only`. Needs CAP_SYS_ADMIN. Returns
// nullptr, or what could not be done with errno set.
const char* enter_private_mount(const std::string& path, bool read_only, const char* at);

}  // namespace vmette::vmm
