#include "output_stream.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmette::agent {

OutputStream::OutputStream(Loop& loop, ControlStream& control, StreamOwner& owner, uint64_t stream,
                           wire::Channel channel)
    : loop_(loop), control_(control), owner_(owner), stream_(stream), channel_(channel) {}

OutputStream::~OutputStream() {
  if (fd_) loop_.forget(fd_.get(), *this);
  control_.output().withdraw(*this);
}

int OutputStream::open(UniqueFd fd, bool terminal, bool discard) {
  const int error = loop_.watch(fd.get(), EPOLLIN, *this);
  if (error != 0) return error;
  fd_ = std::move(fd);
  terminal_ = terminal;
  discard_ = discard;
  return 0;
}

bool OutputStream::grant(uint32_t bytes) {
  if (!fd_) return true;
  if (!credit_.grant(bytes)) return false;
  offer();
  return true;
}

void OutputStream::close() {
  if (!fd_) return;
  if (!discard_) control_.send(wire::Type::kData, wire::channel_flags(channel_, true), stream_, {});
  end();
}

void OutputStream::look() {
  readable_ = true;
  offer();
}

void OutputStream::disown() {
  discard_ = true;
  kept_.clear();
  look();
}

void OutputStream::ready(uint32_t events) {
  readable_ = true;
  if (events & (EPOLLHUP | EPOLLERR)) hung_up_ = true;
  offer();
}

void OutputStream::offer() {
  const bool something = readable_ || !kept_.empty();
  const bool allowed = discard_ || credit_.left() > 0 || hung_up_;
  if (fd_ && something && allowed) control_.output().offer(*this);
}

Source::Pulled OutputStream::pull(std::span<std::byte> room) {
  Pulled result;
  if (!discard_) room = room.first(std::min<size_t>(room.size(), credit_.left()));
  result.bytes = take_kept(room);
  if (result.bytes < room.size()) result.bytes += read_into(room.subspan(result.bytes));
  sent_ += result.bytes;
  if (!discard_) credit_.spend(static_cast<uint32_t>(result.bytes));
  const bool over = drained();
  if (!discard_) {
    result.flags = wire::channel_flags(channel_, over);
    result.send = over || result.bytes > 0;
  }
  if (over) {
    end();
  } else {
    result.more = (readable_ || !kept_.empty()) && (discard_ || credit_.left() > 0);
  }
  return result;
}

// A terminal's bytes cannot be moved.
Source::Movable OutputStream::movable() {
  if (terminal_ || discard_) return {};
  return {std::min<size_t>(in_pipe(), credit_.left()), wire::channel_flags(channel_)};
}

Source::Pulled OutputStream::move(int pipe, size_t bytes) {
  Pulled result;
  const ssize_t got = splice(fd_.get(), nullptr, pipe, nullptr, bytes, SPLICE_F_NONBLOCK);
  if (got > 0) result.bytes = static_cast<size_t>(got);
  sent_ += result.bytes;
  credit_.spend(static_cast<uint32_t>(result.bytes));
  // Only a writer that met an empty pipe is reported again.
  if (!hung_up_ && in_pipe() == 0) readable_ = false;
  result.more = hung_up_ || (readable_ && credit_.left() > 0);
  return result;
}

size_t OutputStream::take_kept(std::span<std::byte> room) {
  const size_t size = std::min(room.size(), kept_.size());
  std::memcpy(room.data(), kept_.data(), size);
  kept_.erase(0, size);
  return size;
}

size_t OutputStream::read_into(std::span<std::byte> room) {
  size_t size = 0;
  while (size < room.size() && readable_ && !at_end_) {
    const size_t want = room.size() - size;
    const ssize_t got = read(fd_.get(), room.data() + size, want);
    if (got > 0) {
      size += static_cast<size_t>(got);
      // A pipe gives all it has; a terminal gives a piece at a time.
      if (!terminal_ && !hung_up_ && static_cast<size_t>(got) < want) readable_ = false;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      at_end_ = true;  // EIO: no process has the terminal open
    } else if (errno == EAGAIN) {
      readable_ = false;
    }
  }
  return size;
}

// A stream without credit still has to notice that it has ended.
bool OutputStream::drained() {
  if (!at_end_ && hung_up_ && !discard_ && credit_.left() == 0) {
    if (terminal_) {
      keep_what_is_there();
    } else {
      at_end_ = in_pipe() == 0;
    }
  }
  return at_end_ && kept_.empty();
}

uint64_t OutputStream::bytes_by_now() {
  if (!fd_) return sent_;
  if (terminal_) {
    keep_what_is_there();
    offer();
    return sent_ + kept_.size();
  }
  return sent_ + in_pipe();
}

size_t OutputStream::in_pipe() const {
  int bytes = 0;
  ioctl(fd_.get(), FIONREAD, &bytes);
  return static_cast<size_t>(bytes);
}

// A terminal cannot say how much is on its way through the line discipline, but a read that finds
// nothing has waited for it.
void OutputStream::keep_what_is_there() {
  readable_ = true;
  while (kept_.size() < kMaxKept && readable_ && !at_end_) {
    std::byte chunk[4096];
    const size_t size = read_into(chunk);
    kept_.append(reinterpret_cast<const char*>(chunk), size);
  }
}

void OutputStream::end() {
  loop_.forget(fd_.get(), *this);
  control_.output().withdraw(*this);
  fd_.reset();
  owner_.output_ended();
}

}  // namespace vmette::agent
