#include "input_stream.h"

#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace vmette::agent {
namespace {

constexpr size_t kCompactBytes = 64 * 1024;

}  // namespace

InputStream::InputStream(Loop& loop, ControlStream& control, uint64_t stream)
    : loop_(loop), control_(control), stream_(stream) {}

InputStream::~InputStream() {
  if (fd_) loop_.forget(fd_.get(), *this);
}

int InputStream::open(UniqueFd fd, bool terminal) {
  const int error = loop_.watch(fd.get(), EPOLLOUT, *this);
  if (error != 0) return error;
  fd_ = std::move(fd);
  terminal_ = terminal;
  return 0;
}

bool InputStream::receive(std::span<const std::byte> bytes, bool eof) {
  if (silent_) return true;
  if (eof_ || !credit_.receive(static_cast<uint32_t>(bytes.size()))) return false;
  eof_ = eof;
  ending_ = ending_ || eof;
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  size_t done = 0;
  if (begin_ == pending_.size()) done = write_some(text, bytes.size());
  if (!fd_) {
    consume(bytes.size());
    return true;
  }
  consume(done);
  pending_.append(text + done, bytes.size() - done);
  if (ending_) finish();
  return true;
}

void InputStream::ready(uint32_t events) {
  if (events & (EPOLLERR | EPOLLHUP)) {
    close();
    return;
  }
  writable_ = true;
  write_pending();
}

// Closes the descriptor when nobody reads any more.
size_t InputStream::write_some(const char* bytes, size_t size) {
  size_t done = 0;
  while (done < size && fd_ && writable_) {
    const ssize_t put = write(fd_.get(), bytes + done, size - done);
    if (put > 0) {
      done += static_cast<size_t>(put);
      line_incomplete_ = bytes[done - 1] != '\n';
    } else if (put < 0 && errno == EAGAIN) {
      writable_ = false;
    } else if (put == 0 || errno != EINTR) {
      close();
    }
  }
  return done;
}

void InputStream::write_pending() {
  const size_t left = pending_.size() - begin_;
  const size_t done = write_some(pending_.data() + begin_, left);
  if (!fd_) return;
  const size_t of_host = left - uncredited_tail_;
  begin_ += done;
  consume(std::min(done, of_host));
  if (done > of_host) uncredited_tail_ -= done - of_host;
  if (begin_ == pending_.size()) {
    pending_.clear();
    begin_ = 0;
    if (ending_) finish();
  } else if (begin_ >= kCompactBytes) {
    pending_.erase(0, begin_);
    begin_ = 0;
  }
}

void InputStream::consume(size_t bytes) {
  if (silent_) return;
  credit_.consume(static_cast<uint32_t>(bytes));
  const uint32_t grant = credit_.take_grant();
  if (grant > 0)
    control_.send(wire::Type::kCredit, wire::channel_flags(wire::Channel::kStdin), stream_,
                  wire::encode_credit(grant));
}

// After the last byte: a pipe is closed, a terminal stays and gets its end-of-file character.
void InputStream::finish() {
  if (begin_ != pending_.size()) return;
  if (!terminal_) {
    close();
    return;
  }
  if (end_sent_) return;
  end_sent_ = true;
  pending_ = end_of_file_characters();
  begin_ = 0;
  uncredited_tail_ = pending_.size();
  write_pending();
}

// After an incomplete line the first one only hands that line over.
std::string InputStream::end_of_file_characters() const {
  termios modes{};
  if (tcgetattr(fd_.get(), &modes) != 0) return {};
  const char end = static_cast<char>(modes.c_cc[VEOF]);
  if (end == _POSIX_VDISABLE) return {};
  const bool canonical = (modes.c_lflag & ICANON) != 0;
  return std::string(canonical && line_incomplete_ ? 2 : 1, end);
}

void InputStream::end() {
  if (!fd_ || terminal_) return;
  ending_ = true;
  finish();
}

void InputStream::fall_silent() {
  silent_ = true;
  close();
}

void InputStream::disown() {
  silent_ = true;
  end();
}

void InputStream::close() {
  if (!fd_) return;
  loop_.forget(fd_.get(), *this);
  fd_.reset();
  const size_t dropped = pending_.size() - begin_ - uncredited_tail_;
  std::string().swap(pending_);
  begin_ = uncredited_tail_ = 0;
  consume(dropped);
}

}  // namespace vmette::agent
