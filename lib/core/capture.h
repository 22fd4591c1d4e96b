#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette::core {

// A command's captured output at one moment.
struct CapturedOutput {
  struct Stream {
    std::string data;
    uint64_t total = 0;  // bytes that came, kept or dropped
    [[nodiscard]] bool truncated() const { return total > data.size(); }
  };
  Stream out;
  Stream err;
  Stream combined;  // what is kept of both, in order of arrival
};

// Keeps the first `limit` bytes of stdout and of stderr and the order in which they came. Any
// thread. Memory: at most twice the limit, and 8 bytes for each change between the streams.
class Capture {
 public:
  explicit Capture(size_t limit) : limit_(limit) {}

  void append(wire::Channel channel, wire::Bytes bytes);
  [[nodiscard]] CapturedOutput read() const;

 private:
  struct Run {
    bool is_err;
    uint32_t bytes;
  };

  mutable std::mutex mutex_;
  const size_t limit_;
  // Guarded by mutex_.
  std::string data_[2];
  uint64_t total_[2] = {0, 0};
  std::vector<Run> order_;
};

}  // namespace vmette::core
