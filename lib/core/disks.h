#pragma once

#include <cstddef>
#include <string>

#include "core/config.h"

namespace vmette::core {

// The name by which the guest finds disk `index` of the configuration: its id, or disk<index>.
std::string disk_id(const Config& config, size_t index);

// Where the scratch disk's file is made.
std::string scratch_directory(const Config& config);

// Checks disks, scratch disk and a block image as root: names, sizes, files, and that nothing is
// attached twice that is written. Fails with kInvalidConfig.
Result<void> check_disks(const Config& config);

// Looks at the superblocks of what the configuration names, so that nobody has to later.
void detect_fstypes(Config& config);

}  // namespace vmette::core
