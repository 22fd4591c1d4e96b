#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/machine.h"

namespace vmette::vmm {

// Looks at each disk before QEMU does, which would say less. Throws Failure bad_disk or
// disk_in_use, naming the first that is gone, cannot be opened as it is to be used, is empty, is no
// raw image, or is in use by the host itself. As long as the result is held, the host can mount
// none of the block devices that the machine writes, and no other machine can have one to write.
std::vector<UniqueFd> claim_disks(const std::vector<Disk>& disks);

// What QEMU's words mean for the caller when they are about one of the disks that somebody else has
// open; else empty.
std::string disk_in_use(const std::string& words, const std::vector<Disk>& disks);

}  // namespace vmette::vmm
