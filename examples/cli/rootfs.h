#pragma once

#include <string>

namespace vmette_cli {

// The spec names no directory of this machine; `message` is one line with a remedy.
struct RootfsError {
  std::string message;
};

// The directory that `spec` names: an absolute path, ., .., ./PATH, ../PATH, ~ or ~/PATH. Whether
// it exists is left to the library. Throws RootfsError.
std::string resolve_rootfs(const std::string& spec);

// What vmette providers prints.
std::string providers_text();

}  // namespace vmette_cli
