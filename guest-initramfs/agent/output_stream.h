// What a command prints, from its pipe or terminal to the host.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "control.h"
#include "credit.h"
#include "loop.h"
#include "output_queue.h"

namespace vmette::agent {

class StreamOwner {
 public:
  // The stream has ended and its EOF is under way. Must not destroy the stream before the loop's
  // turn is over.
  virtual void output_ended() = 0;

 protected:
  ~StreamOwner() = default;
};

// Reads only what can be sent at once, into the place it is sent from: what a slow host has not
// asked for stays in the pipe, and the command that fills it blocks.
class OutputStream final : public Source, private Watcher {
 public:
  OutputStream(Loop& loop, ControlStream& control, StreamOwner& owner, uint64_t stream,
               wire::Channel channel);
  ~OutputStream() override;

  // Takes the read end of a pipe or the master of a terminal, non-blocking. `discard`: the host
  // wants neither the bytes nor an EOF. 0 or an errno.
  int open(UniqueFd fd, bool terminal, bool discard);

  // False when the host breaks the credit rules.
  [[nodiscard]] bool grant(uint32_t bytes);
  // The host reads no more.
  void close();
  // Has what is there looked for, reported or not.
  void look();
  // The host that read it is gone: what comes is read and dropped, and nothing is sent.
  void disown();

  // True also for a stream that was never opened.
  [[nodiscard]] bool ended() const { return !fd_; }
  // How many bytes the stream will have carried once everything written by now is sent.
  [[nodiscard]] uint64_t bytes_by_now();

  [[nodiscard]] uint64_t stream() const override { return stream_; }
  Pulled pull(std::span<std::byte> room) override;
  Movable movable() override;
  Pulled move(int pipe, size_t bytes) override;

 private:
  // What a terminal holds at most (64 KiB and its line discipline's 4), with some to spare.
  static constexpr size_t kMaxKept = 128 * 1024;

  void ready(uint32_t events) override;
  void offer();
  size_t take_kept(std::span<std::byte> room);
  size_t read_into(std::span<std::byte> room);
  void keep_what_is_there();
  [[nodiscard]] size_t in_pipe() const;
  [[nodiscard]] bool drained();
  void end();

  Loop& loop_;
  ControlStream& control_;
  StreamOwner& owner_;
  uint64_t stream_;
  wire::Channel channel_;
  UniqueFd fd_;
  bool terminal_ = false;
  bool discard_ = false;
  bool readable_ = false;  // a read may give something
  bool hung_up_ = false;   // no writer is left
  bool at_end_ = false;    // a read said so
  SendCredit credit_;
  uint64_t sent_ = 0;
  std::string kept_;  // read ahead of its turn, terminals only
};

}  // namespace vmette::agent
