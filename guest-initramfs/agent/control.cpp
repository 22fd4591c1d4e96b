#include "control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "system.h"

namespace vmette::agent {
namespace {

// Per pump, so that a busy direction starves neither the other one nor the reaping of children.
// A virtio port hands out at most one 4 KiB buffer per read.
constexpr int kReadsPerPump = 64;
constexpr int kWritesPerPump = 16;

// A virtio port takes all the pages of a pipe as one buffer; a socket takes each for itself.
bool takes_pages(int port) {
  struct stat status{};
  return fstat(port, &status) == 0 && S_ISCHR(status.st_mode);
}

}  // namespace

ControlStream::ControlStream(Loop& loop, UniqueFd port, Peer& peer)
    : loop_(&loop), port_(std::move(port)), peer_(peer) {
  watch_port();
  if (takes_pages(port_.get())) output_.allow_moving();
}

void ControlStream::watch_port() {
  if (const int error = loop_->watch(port_.get(), EPOLLIN, *this); error != 0)
    die("cannot watch the control port: " + error_text(error));
}

// The new loop tells at once what the port is ready for; a hang-up begins its second anew.
void ControlStream::move_to(Loop& loop) {
  loop_->forget(port_.get(), *this);
  loop_->clear_alarm(*this);
  loop_ = &loop;
  writable_ = true;
  watch_port();
}

void ControlStream::ready(uint32_t events) {
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & EPOLLOUT) {
    writable_ = true;
    loop_->change(port_.get(), EPOLLIN, *this);
  }
  if (events & EPOLLHUP) {
    hung_up();
  } else {
    connected_ = true;
    loop_->clear_alarm(*this);
  }
}

// A virtio port reports a hang-up while no host is there, also before the first one came.
void ControlStream::hung_up() {
  if (connected_) loop_->set_alarm(*this, kLostAfterUs);
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
    const auto front = output_.front();
    if (front.size == 0) return;
    const ssize_t taken = put(front);
    if (taken > 0) {
      output_.consumed(static_cast<size_t>(taken));
    } else if (front.moving() && taken < 0 && (errno == EINVAL || errno == ENOMEM)) {
      output_.stop_moving();
    } else if (taken == 0 || errno != EINTR) {
      if (taken < 0 && errno != EAGAIN) hung_up();
      return wait_writable();
    }
  }
}

// As write(2).
ssize_t ControlStream::put(const OutputQueue::Front& front) {
  if (!front.moving()) return write(port_.get(), front.bytes, front.size);
  const ssize_t taken =
      splice(front.pipe, nullptr, port_.get(), nullptr, front.size, SPLICE_F_NONBLOCK);
  // A port without room for that many pages has dropped them.
  if (taken == 0) die("the control port has lost a frame");
  return taken;
}

// Each write makes a virtio port writable anew. To hear of that only when it is wanted saves a turn
// of the loop per write.
void ControlStream::wait_writable() {
  writable_ = false;
  loop_->change(port_.get(), EPOLLIN | EPOLLOUT, *this);
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
