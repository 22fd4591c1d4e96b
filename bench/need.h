#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <vmette.hpp>

#include "raw_machine.h"

namespace vmette::bench {

// The value, or the end of the program with the error's message.
template <class T>
T need(vmette::result<T> result) {
  if (!result) die(std::string(result.error().message()));
  if constexpr (!std::is_void_v<T>) return std::move(result.value());
}

}  // namespace vmette::bench
