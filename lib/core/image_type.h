#pragma once

#include <string>

#include "core/error.h"

namespace vmette::core {

// The file system of an image, a file or a block device: "squashfs", "erofs" or "ext4" (also for
// ext2 and ext3). Told by its superblock, whatever it is called. Fails with kInvalidConfig when it
// is none of these, when it is shorter than its superblock says, or when it cannot be read; the
// message starts with `field`, names the image and says what it is instead, where that is known.
Result<std::string> image_fstype(const std::string& field, const std::string& path);

}  // namespace vmette::core
