#pragma once

#include <cstddef>
#include <cstdint>

namespace vmette_test {

// Descriptors that this process has open.
std::size_t open_descriptors();
// Children of this process that run or have not been collected.
std::size_t child_processes();
// Threads of this process.
std::size_t threads();
// Memory that this process has in use now, and the most since the last reset_peak_kib().
std::uint64_t resident_kib();
std::uint64_t peak_kib();
void reset_peak_kib();

// Bytes of a growing memory bound mean nothing where a sanitizer keeps freed memory.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryIsMeasurable = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kMemoryIsMeasurable = false;
#else
inline constexpr bool kMemoryIsMeasurable = true;
#endif
#else
inline constexpr bool kMemoryIsMeasurable = true;
#endif

}  // namespace vmette_test
