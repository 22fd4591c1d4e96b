#pragma once

#include <string>

#include "core/config.h"
#include "core/error.h"

namespace vmette::core {

// A directory of the host as a squashfs image in the cache, packed by mksquashfs when there is none
// of the directory as it is now; returns the image's path. One file system only: what is mounted
// below is an empty directory. Of / the contents of /proc, /sys, /dev, /run, /tmp and /var/tmp are
// left out, and of any directory the cache itself. Tells config.progress, which may cancel.
// kNotFound without mksquashfs, kSnapshot when the directory changes all the time.
Result<std::string> packed_root(const Config& config, const std::string& directory);

}  // namespace vmette::core
