#pragma once

#include <string>

#include "core/error.h"

namespace vmette::core {

// The path in `spec`, which starts with `prefix`, for example "squashfs+file://". The host between
// prefix and path is empty or localhost, and percent signs are decoded. What has a meaning in a URL
// and none for a file (another host, ? and #), and relative paths, are refused.
Result<std::string> path_of_file_url(const std::string& prefix, const std::string& spec);

// The other way round, for an absolute path.
std::string file_url_of(const std::string& prefix, const std::string& path);

}  // namespace vmette::core
