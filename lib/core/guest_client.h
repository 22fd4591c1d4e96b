#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/watched_fd.h"
#include "wire/codec.h"

namespace vmette::core {

// The library's end of docs/guest-protocol.md: cuts the control stream into frames and sends
// frames. What frames mean is its listener's business. Reactor thread only.
//
// Memory: the decoder's buffer, and what has been queued and not yet sent. The guest's credit does
// not bound that, because a hostile guest grants credit and reads nothing: senders stop at
// behind() and go on at `caught_up`.
class GuestClient : public std::enable_shared_from_this<GuestClient> {
 public:
  struct Callbacks {
    std::function<void(const wire::Frame&)> frame;
    // The stream has ended: one line. Nothing follows.
    std::function<void(std::string)> lost;
    // The guest broke the framing: one line. Nothing follows.
    std::function<void(std::string)> broken;
    // After behind(): everything is sent.
    std::function<void()> caught_up;
  };

  GuestClient(boost::asio::io_context& io, HeldFd stream, Callbacks callbacks);

  void start();
  void send(wire::Type type, uint16_t flags, uint64_t stream, std::string_view payload);
  // From now on what is sent waits for release(); send_past() sends all the same, ahead of it.
  void hold() { holding_ = true; }
  void send_past(wire::Type type, std::string_view payload);
  void release();
  // So much is queued that what can wait should wait.
  [[nodiscard]] bool behind() const { return behind_; }
  // No callback comes after it. Idempotent.
  void close();

 private:
  void wait_readable();
  void wait_writable();
  void read_frames();
  bool take_frames();
  void flush();
  void catch_up();
  void lose(const std::string& why);

  WatchedFd stream_;
  Callbacks callbacks_;
  wire::Decoder decoder_{wire::Sender::kGuest};
  std::string outgoing_;
  size_t sent_ = 0;   // of outgoing_
  std::string held_;  // goes out after the release
  bool writing_ = false;
  bool holding_ = false;
  bool behind_ = false;
  bool deaf_ = false;  // the peer takes nothing any more
  bool closed_ = false;
};

}  // namespace vmette::core
