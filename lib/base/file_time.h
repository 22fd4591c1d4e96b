#pragma once

#include <time.h>

#include <cstdint>

namespace vmette {

inline constexpr int64_t kNanosecondsPerSecond = 1000000000;

// A file's time as nanoseconds since 1970; the nearest that 64 bits can say when it lies beyond.
inline int64_t to_nanoseconds(const timespec& time) {
  int64_t value = 0;
  if (__builtin_mul_overflow(int64_t{time.tv_sec}, kNanosecondsPerSecond, &value) ||
      __builtin_add_overflow(value, int64_t{time.tv_nsec}, &value))
    return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
  return value;
}

inline timespec to_timespec(int64_t since_1970_ns) {
  int64_t seconds = since_1970_ns / kNanosecondsPerSecond;
  int64_t rest = since_1970_ns % kNanosecondsPerSecond;
  if (rest < 0) {
    rest += kNanosecondsPerSecond;
    --seconds;
  }
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

}  // namespace vmette
