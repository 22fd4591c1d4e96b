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

#include "base/unique_fd.h"
#include "wire/codec.h"

namespace vmette::agent {

// A stream that has something to send.
class Source {
 public:
  struct Movable {
    size_t bytes = 0;
    uint16_t flags = 0;  // of the DATA frame
  };
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

  // What lies in a pipe of the source and can go out without being copied.
  virtual Movable movable() { return {}; }
  // Moves `bytes` of it, or fewer, into another pipe. Of the result `bytes` and `more` count.
  virtual Pulled move(int /*pipe*/, size_t /*bytes*/) { return {}; }

 private:
  friend class OutputQueue;
  bool queued_ = false;
};

// Output is cut into batches of at most kBatchBytes, because that is what one write to a virtio
// port copies. Sources take turns, one frame each. Where the port takes pages, a source with much
// in its pipe has a batch for itself: a frame whose payload is moved through a pipe of the queue's,
// by the page, and which is larger than a batch that is copied. Memory: the messages not yet
// written plus one batch; stream data stays in its pipe until a batch has room.
class OutputQueue {
 public:
  static constexpr size_t kBatchBytes = 32 * 1024;
  // Less than this is not worth a batch for itself.
  static constexpr size_t kLeastMoved = 16 * 1024;

  // What goes out next: `size` bytes in memory, or at the head of a pipe.
  struct Front {
    const std::byte* bytes = nullptr;
    int pipe = -1;
    size_t size = 0;
    [[nodiscard]] bool moving() const { return pipe >= 0; }
  };

  OutputQueue();

  void push(wire::Type type, uint16_t flags, uint64_t stream, std::string_view payload);

  // Puts the source at the end of the round, once.
  void offer(Source& source);
  // The source is gone or has nothing to say any more.
  void withdraw(Source& source);

  // Of size 0 when there is nothing; report what was written with consumed().
  Front front();
  void consumed(size_t bytes) { begin_ += bytes; }

  // The port takes pages of a pipe.
  void allow_moving();
  // It does not after all. What is left of the front is then in memory.
  void stop_moving();

  // Bytes of messages and of the current batch that are not yet written.
  [[nodiscard]] size_t pending() const { return messages_.size() + (end_ - begin_); }
  [[nodiscard]] bool idle() const { return pending() == 0 && round_.empty(); }

 private:
  // Where the front is.
  enum class Where : uint8_t { kBatch, kLarge, kPipe };

  void fill();
  Source& next_source();
  void pull_frame();
  bool move_frame();
  void copy_back();

  std::string messages_;  // whole frames
  std::string large_;     // messages being written that do not fit a batch
  std::unique_ptr<std::byte[]> batch_;
  Where where_ = Where::kBatch;
  size_t begin_ = 0;  // of the unwritten part of batch_, large_ or what the pipe was given
  size_t end_ = 0;
  UniqueFd pipe_out_;  // invalid: nothing is moved
  UniqueFd pipe_in_;
  std::deque<Source*> round_;
};

}  // namespace vmette::agent
