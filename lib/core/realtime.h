#pragma once

#include <chrono>
#include <cstdint>

namespace vmette::core {

// The wall clock, in nanoseconds since 1970.
inline uint64_t realtime_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

}  // namespace vmette::core
