// Lines and file descriptors over a connected UNIX stream socket: the transport of
// docs/vmm-protocol.md, used by the library and by its helpers alike, and for QMP.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::vmm {

// Longest line either way, its newline not counted.
inline constexpr size_t kMaxLineBytes = size_t{1024} * 1024;

// Never blocks, whatever O_NONBLOCK says: the owner polls fd() for reading, and for writing while
// wants_write(). Not thread-safe. Raises no SIGPIPE.
//
// File descriptors arrive no later than the first byte of the line that they were sent with, and
// stay in order: whoever handles a line that names descriptors takes that many with take_fd().
class LineChannel {
 public:
  enum class Status {
    kLine,    // one line was returned
    kMore,    // nothing now: poll
    kClosed,  // the peer has closed; every whole line has been returned
    kBroken,  // the peer broke the rules or the socket failed: see error()
  };

  // Received descriptors that wait for take_fd() number at most `max_fds`; the rest are closed.
  explicit LineChannel(UniqueFd socket, size_t max_fds = 0);

  [[nodiscard]] int fd() const { return socket_.get(); }

  // The next line without its newline (a carriage return before it is dropped too).
  Status receive(std::string& line);
  // The oldest received descriptor, CLOEXEC set; invalid when there is none.
  UniqueFd take_fd();

  // Queues one line and sends what the socket takes now. `line` has no newline and at most
  // kMaxLineBytes. The descriptors travel with its first byte and are closed once sent. False when
  // the peer is gone; then nothing is queued any more.
  bool send(std::string_view line, std::vector<UniqueFd> fds = {});
  // Sends what the socket takes now. False when the peer is gone.
  bool flush();
  [[nodiscard]] bool wants_write() const { return !queue_.empty(); }
  // Bytes queued and not yet sent; the owner bounds what it queues by this.
  [[nodiscard]] size_t queued_bytes() const { return queued_bytes_; }

  // Why the channel is broken: one line.
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  // Bytes of one or more lines; descriptors, if any, belong to the first byte.
  struct Outgoing {
    std::string bytes;
    std::vector<UniqueFd> fds;
  };

  bool cut_line(std::string& line);
  Status read_some();
  void keep_fds(msghdr& message);
  Status broken(std::string why);

  UniqueFd socket_;
  size_t max_fds_;
  std::string buffer_;
  size_t begin_ = 0;    // first byte not yet returned
  size_t scanned_ = 0;  // no newline before here
  std::deque<UniqueFd> received_fds_;
  bool broken_ = false;
  std::string error_;

  std::deque<Outgoing> queue_;
  size_t sent_ = 0;  // of queue_.front()
  size_t queued_bytes_ = 0;
  bool peer_gone_ = false;
};

}  // namespace vmette::vmm
