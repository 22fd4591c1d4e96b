// What goes to the host: messages first, then stream data in turn. No I/O on the port here, so that
// the order and the fairness can be tested anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "wire/codec.h"

namespace vmette::agent {

// A stream that has something to send.
class Source {
 public:
  struct Pulled {
    size_t bytes = 0;    // payload bytes put into the room
    uint16_t flags = 0;  // of the DATA frame
    bool send = false;   // false: nothing came after all, no frame
    bool more = false;   // ask again in the next round
  };

  virtual ~Source() = default;

  [[nodiscard]] virtual uint64_t stream() const = 0;
  // Puts payload straight into `room`, the frame's place in the output buffer.
  virtual Pulled pull(std::span<std::byte> room) = 0;

 private:
  friend class OutputQueue;
  bool queued_ = false;
};

// Output is cut into batches of at most kBatchBytes, because that is what one write to a virtio
// port copies. Sources take turns, one frame each. Memory: the messages not yet written plus one
// batch; stream data stays in its pipe until a batch has room.
class OutputQueue {
 public:
  static constexpr size_t kBatchBytes = 32 * 1024;

  OutputQueue();

  void push(wire::Type type, uint16_t flags, uint64_t stream, std::string_view payload);

  // Puts the source at the end of the round, once.
  void offer(Source& source);
  // The source is gone or has nothing to say any more.
  void withdraw(Source& source);

  // Bytes to write next, empty when there is nothing; report what was written with consumed().
  std::span<const std::byte> front();
  void consumed(size_t bytes) { begin_ += bytes; }

  // Bytes of messages and of the current batch that are not yet written.
  [[nodiscard]] size_t pending() const { return messages_.size() + (end_ - begin_); }
  [[nodiscard]] bool idle() const { return pending() == 0 && round_.empty(); }

 private:
  void fill();
  void pull_frame();

  std::string messages_;  // whole frames
  std::string large_;     // messages being written that do not fit a batch
  std::unique_ptr<std::byte[]> batch_;
  bool writing_large_ = false;
  size_t begin_ = 0;  // of the unwritten part of batch_ or large_
  size_t end_ = 0;
  std::deque<Source*> round_;
};

}  // namespace vmette::agent
