#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "wire/codec.h"

namespace vmette::core {

// The library's end of docs/guest-protocol.md: cuts the control stream into frames and sends
// frames. What frames mean is its listener's business. Reactor thread only.
//
// Memory: the decoder's buffer, and what has been queued and not yet sent; senders keep that
// bounded by the guest's credit.
class GuestClient : public std::enable_shared_from_this<GuestClient> {
 public:
  struct Callbacks {
    std::function<void(const wire::Frame&)> frame;
    // The stream has ended or the guest broke the framing: one line. Nothing follows.
    std::function<void(std::string)> lost;
  };

  GuestClient(boost::asio::io_context& io, UniqueFd stream, Callbacks callbacks);

  void start();
  void send(wire::Type type, uint16_t flags, uint64_t stream, std::string_view payload);
  // No callback comes after it. Idempotent.
  void close();

 private:
  void wait_readable();
  void wait_writable();
  void read_frames();
  bool take_frames();
  void flush();
  void lose(std::string why);

  boost::asio::posix::stream_descriptor stream_;
  Callbacks callbacks_;
  wire::Decoder decoder_{wire::Sender::kGuest};
  std::string outgoing_;
  size_t sent_ = 0;  // of outgoing_
  bool writing_ = false;
  bool closed_ = false;
};

}  // namespace vmette::core
