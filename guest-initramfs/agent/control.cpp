#include "control.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "system.h"

namespace vmette::agent {
namespace {

// Per pump, so that a busy direction starves neither the other one nor the reaping of children.
// A virtio port hands out at most one 4 KiB buffer per read.
constexpr int kReadsPerPump = 64;
constexpr int kWritesPerPump = 16;

}  // namespace

ControlStream::ControlStream(Loop& loop, UniqueFd port, Peer& peer)
    : loop_(loop), port_(std::move(port)), peer_(peer) {
  if (const int error = loop_.watch(port_.get(), EPOLLIN | EPOLLOUT, *this); error != 0)
    die("cannot watch the control port: " + error_text(error));
}

void ControlStream::ready(uint32_t events) {
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & EPOLLOUT) writable_ = true;
  if (events & EPOLLHUP) {
    hung_up();
  } else {
    connected_ = true;
    loop_.clear_alarm(*this);
  }
}

// A virtio port reports a hang-up while no host is there, also before the first one came.
void ControlStream::hung_up() {
  if (connected_) loop_.set_alarm(*this, kLostAfterUs);
}

void ControlStream::due() {
  pollfd state{port_.get(), POLLIN, 0};
  poll(&state, 1, 0);
  if (state.revents & (POLLHUP | POLLERR)) peer_.lost();
}

bool ControlStream::pump() {
  if (reading_ && readable_ && output_.pending() < kMaxPendingOutput) read_some();
  if (writable_) write_some();
  const bool may_read = reading_ && readable_ && output_.pending() < kMaxPendingOutput;
  return may_read || (writable_ && !output_.idle());
}

void ControlStream::read_some() {
  for (int i = 0; i < kReadsPerPump && reading_; ++i) {
    const auto room = decoder_.space();
    const ssize_t got = read(port_.get(), room.data(), room.size());
    if (got > 0) {
      decoder_.fill(static_cast<size_t>(got));
      deliver();
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    readable_ = false;
    if (got == 0 || errno != EAGAIN) hung_up();
    return;
  }
}

void ControlStream::deliver() {
  wire::Frame frame;
  while (reading_) {
    const auto status = decoder_.next(frame);
    if (status == wire::Decoder::Status::kMore) return;
    if (status == wire::Decoder::Status::kBroken) {
      reading_ = false;
      peer_.broken(decoder_.error());
      return;
    }
    peer_.frame(frame);
  }
}

void ControlStream::write_some() {
  for (int i = 0; i < kWritesPerPump; ++i) {
    const auto bytes = output_.front();
    if (bytes.empty()) return;
    const ssize_t put = write(port_.get(), bytes.data(), bytes.size());
    if (put > 0) {
      output_.consumed(static_cast<size_t>(put));
    } else if (put == 0 || errno != EINTR) {
      writable_ = false;
      if (put < 0 && errno != EAGAIN) hung_up();
      return;
    }
  }
}

bool ControlStream::flush(int timeout_ms) {
  const uint64_t end_us = uptime_us() + static_cast<uint64_t>(timeout_ms) * 1000;
  while (true) {
    writable_ = true;
    write_some();
    if (output_.idle()) return true;
    const uint64_t now = uptime_us();
    if (writable_) continue;
    if (now >= end_us) return false;
    pollfd state{port_.get(), POLLOUT, 0};
    poll(&state, 1, static_cast<int>((end_us - now + 999) / 1000));
    if ((state.revents & (POLLHUP | POLLERR)) != 0) return false;
  }
}

}  // namespace vmette::agent
