// Credit accounting of one channel (docs/guest-protocol.md, Commands). No I/O.
#pragma once

#include <cstdint>

#include "wire/codec.h"

namespace vmette::agent {

// What we may still send.
class SendCredit {
 public:
  [[nodiscard]] uint32_t left() const { return left_; }
  // `bytes` must not exceed left().
  void spend(uint32_t bytes) { left_ -= bytes; }
  // False when the peer grants nothing or more than it can have consumed: it breaks the protocol.
  [[nodiscard]] bool grant(uint32_t bytes) {
    if (bytes == 0 || bytes > wire::kInitialCredit - left_) return false;
    left_ += bytes;
    return true;
  }

 private:
  uint32_t left_ = wire::kInitialCredit;
};

// What the peer may still send. Grants are saved up so that a byte-wise writer does not cost a
// frame per byte; what is withheld always leaves the peer three quarters of the window.
class ReceiveCredit {
 public:
  static constexpr uint32_t kGrantBytes = wire::kInitialCredit / 4;

  // False when the peer sends more than it had credit for.
  [[nodiscard]] bool receive(uint32_t bytes) {
    if (bytes > wire::kInitialCredit - taken_) return false;
    taken_ += bytes;
    return true;
  }
  void consume(uint32_t bytes) { consumed_ += bytes; }
  // Bytes to grant now, 0 for none.
  [[nodiscard]] uint32_t take_grant() {
    if (consumed_ < kGrantBytes) return 0;
    const uint32_t grant = consumed_;
    taken_ -= grant;
    consumed_ = 0;
    return grant;
  }

 private:
  uint32_t taken_ = 0;     // received and not granted back
  uint32_t consumed_ = 0;  // part of taken_ that the command has read or that was dropped
};

}  // namespace vmette::agent
