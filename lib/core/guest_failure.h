#pragma once

#include <fmt/format.h>

#include <string>

#include "core/error.h"
#include "wire/messages.h"

namespace vmette::core {

// What the guest says of a failure, as one line: its message, what it was about, the errno.
inline std::string words_of(const wire::Failure& failure) {
  return one_line(fmt::format("{}{}{}", failure.message,
                              failure.path.empty() ? "" : " (" + failure.path + ")",
                              failure.error == 0 ? "" : ": " + errno_text(failure.error)));
}

}  // namespace vmette::core
