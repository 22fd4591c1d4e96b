#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace vmette::vmm {

// The last 64 KiB that the guest printed, and how much of it the library has not been sent yet.
// What falls out of the buffer unsent is counted, never waited for.
class ConsoleLog {
 public:
  static constexpr size_t kBytes = size_t{64} * 1024;

  struct Piece {
    std::string data;
    uint64_t dropped = 0;  // bytes lost just before `data`
  };

  void append(std::string_view bytes);

  [[nodiscard]] std::string_view tail() const;
  [[nodiscard]] bool has_unsent() const { return unsent_ > 0; }
  // The oldest unsent bytes, at most `max_bytes`.
  Piece take_unsent(size_t max_bytes);

 private:
  std::string buffer_;  // trimmed to kBytes only once it is twice that
  size_t unsent_ = 0;   // at the end of buffer_, at most kBytes
  uint64_t dropped_ = 0;
};

}  // namespace vmette::vmm
