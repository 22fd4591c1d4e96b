#pragma once

#include "vmm/machine.h"

namespace vmette::vmm {

// Looks at each disk before QEMU does, which would say less. Throws Failure bad_disk, naming the
// first that is gone, cannot be opened as it is to be used, is empty, is no raw image, or is in use
// by the host itself.
void check_disks(const std::vector<Disk>& disks);

// What QEMU's words mean for the caller when they are about a disk that somebody else has open;
// else empty.
std::string disk_in_use(const std::string& words);

}  // namespace vmette::vmm
