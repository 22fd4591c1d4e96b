// What the checks of a configuration have in common.
#pragma once

#include <fmt/format.h>

#include <string>

#include "core/error.h"

namespace vmette::core {

// kInvalidConfig, in one line.
template <class... Args>
Error wrong(fmt::format_string<Args...> text, Args&&... args) {
  return {Code::kInvalidConfig, one_line(fmt::format(text, std::forward<Args>(args)...)), "config"};
}

inline bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// A file or block device that can be opened with that R_OK, W_OK.
Result<void> check_file(const char* field, const std::string& path, int access_mode);
// A directory that can be listed and entered.
Result<void> check_directory(const char* field, const std::string& path);

}  // namespace vmette::core
