#include "core/guest_client.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/error.h"

namespace vmette::core {
namespace {

using ErrorCode = boost::system::error_code;

// Reads in one turn, so that a guest that never stops talking leaves time for the others.
constexpr int kReadsPerTurn = 8;
constexpr size_t kCompactBytes = size_t{1} << 20;
constexpr size_t kBehindBytes = size_t{1} << 20;

}  // namespace

GuestClient::GuestClient(boost::asio::io_context& io, HeldFd stream, Callbacks callbacks)
    : stream_(io, std::move(stream)), callbacks_(std::move(callbacks)) {
  fcntl(stream_.get(), F_SETFL, O_NONBLOCK);
}

void GuestClient::start() {
  wait_readable();
}

void GuestClient::close() {
  if (closed_) return;
  closed_ = true;
  callbacks_ = {};
  stream_.close();
}

void GuestClient::lose(const std::string& why) {
  const auto lost = std::move(callbacks_.lost);
  close();
  if (lost) lost(why);
}

void GuestClient::wait_readable() {
  stream_.async_wait(WatchedFd::Wait::wait_read,
                     [self = shared_from_this()](const ErrorCode& error) {
                       if (!error && !self->closed_) self->read_frames();
                     });
}

void GuestClient::read_frames() {
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    const auto room = decoder_.space();
    const ssize_t got = ::read(stream_.get(), room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0)
      return lose(got == 0 ? "the guest's control stream ended"
                           : "the guest's control stream failed: " + errno_text(errno));
    decoder_.fill(static_cast<size_t>(got));
    if (!take_frames()) return;
  }
  wait_readable();
}

// False when the client is closed.
bool GuestClient::take_frames() {
  wire::Frame frame;
  for (;;) {
    const auto status = decoder_.next(frame);
    if (status == wire::Decoder::Status::kMore) return true;
    if (status == wire::Decoder::Status::kBroken) {
      const auto broken = std::move(callbacks_.broken);
      close();
      broken(decoder_.error());
      return false;
    }
    const auto handler = callbacks_.frame;  // it may close this client
    handler(frame);
    if (closed_) return false;
  }
}

void GuestClient::send(wire::Type type, uint16_t flags, uint64_t stream, std::string_view payload) {
  if (closed_ || deaf_) return;
  wire::append_frame(holding_ ? held_ : outgoing_, type, flags, stream, payload);
  if (!holding_ && !writing_) flush();
  behind_ = behind_ || held_.size() + outgoing_.size() - sent_ > kBehindBytes;
}

void GuestClient::send_past(wire::Type type, std::string_view payload) {
  if (closed_ || deaf_) return;
  wire::append_frame(outgoing_, type, 0, 0, payload);
  if (!writing_) flush();
}

void GuestClient::release() {
  holding_ = false;
  if (closed_ || deaf_) return held_.clear();
  outgoing_ += std::exchange(held_, {});
  if (!writing_) flush();
  if (outgoing_.empty()) catch_up();
}

void GuestClient::catch_up() {
  if (holding_ || !std::exchange(behind_, false)) return;
  const auto caught_up = callbacks_.caught_up;  // it may close this
  if (caught_up) caught_up();
}

void GuestClient::flush() {
  while (sent_ < outgoing_.size()) {
    const ssize_t done =
        ::send(stream_.get(), outgoing_.data() + sent_, outgoing_.size() - sent_, MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) break;
    if (done < 0) {
      // What the guest said last is still to be read; the reading side tells of its end.
      deaf_ = true;
      sent_ = outgoing_.size();
      break;
    }
    sent_ += static_cast<size_t>(done);
  }
  if (sent_ == outgoing_.size()) {
    outgoing_.clear();
    if (outgoing_.capacity() > kBehindBytes) outgoing_.shrink_to_fit();
    sent_ = 0;
    return;
  }
  if (sent_ >= kCompactBytes) {
    outgoing_.erase(0, sent_);
    sent_ = 0;
  }
  wait_writable();
}

void GuestClient::wait_writable() {
  writing_ = true;
  stream_.async_wait(WatchedFd::Wait::wait_write,
                     [self = shared_from_this()](const ErrorCode& error) {
                       self->writing_ = false;
                       if (error || self->closed_) return;
                       self->flush();
                       if (self->outgoing_.empty()) self->catch_up();
                     });
}

}  // namespace vmette::core
