#pragma once

#include <string>

#include "core/config.h"
#include "core/error.h"

namespace vmette::core {

// Where fetched roots are kept: the configuration's directory, else $XDG_CACHE_HOME/vmette, else
// the user's own cache directory. Makes nothing.
Result<std::string> cache_root(const Config& config);

// Makes a directory, and those above it, for this user alone; one that exists is left as it is.
Result<void> make_private_directory(const std::string& path);

}  // namespace vmette::core
