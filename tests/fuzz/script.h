// The bytes of a fuzzer as a script: each step takes what it needs from the front. A script that
// ends early reads as zeros, so that every input is a whole script.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace vmette_fuzz {

class Script {
 public:
  Script(const uint8_t* bytes, size_t size)
      : rest_(reinterpret_cast<const char*>(bytes), bytes == nullptr ? 0 : size) {}

  [[nodiscard]] bool over() const { return rest_.empty(); }

  uint8_t u8() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  uint16_t u16() {
    const uint16_t low = u8();
    return static_cast<uint16_t>(low | u8() << 8);
  }
  uint32_t u32() {
    const uint32_t low = u16();
    return low | static_cast<uint32_t>(u16()) << 16;
  }
  // Two bytes of length, then that many bytes or what is left.
  std::string_view bytes() {
    const size_t length = u16();
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view rest_;
};

// A rule of the code under test that does not hold: the fuzzer keeps the input.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace vmette_fuzz
