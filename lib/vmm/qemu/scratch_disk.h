#pragma once

#include <string>

#include "base/unique_fd.h"
#include "vmm/machine.h"

namespace vmette::vmm {

// A sparse file without a name, formatted as ext4: it is gone with its last descriptor, whatever
// ends this process. Blocks for the milliseconds that mke2fs takes. Throws Failure not_found when
// there is no mke2fs, bad_scratch when the directory cannot hold the file.
UniqueFd make_scratch_disk(const Scratch& scratch);

// VMETTE_MKE2FS, else mke2fs in PATH or where distributions put it. Throws Failure not_found.
std::string find_mke2fs();

}  // namespace vmette::vmm
