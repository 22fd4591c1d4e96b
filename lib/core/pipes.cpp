#include "core/pipes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "wire/codec.h"

namespace vmette::core {
namespace {

using ErrorCode = boost::system::error_code;

// Larger than the default 64 KiB: fewer turns between the reactor and the reader.
[[maybe_unused]] constexpr int kPipeBytes = 256 * 1024;

}  // namespace

Result<PipeEnds> make_pipe(Pumped pumped) {
  const ForkGate gate;
  int ends[2];
#ifdef __linux__
  if (pipe2(ends, O_CLOEXEC) != 0) return os_error("a stream: no pipe for it", errno);
  fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes);
#else
  if (pipe(ends) != 0) return os_error("a stream: no pipe for it", errno);
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
#endif
  fcntl(ends[pumped == Pumped::kRead ? 0 : 1], F_SETFL, O_NONBLOCK);
  return PipeEnds{HeldFd(gate, ends[0]), HeldFd(gate, ends[1])};
}

PipeWriter::PipeWriter(boost::asio::io_context& io, HeldFd write_end, Callbacks callbacks)
    : pipe_(io, std::move(write_end)), callbacks_(std::move(callbacks)) {}

void PipeWriter::start() {
  // A pipe without a reader reports an error condition.
  pipe_.async_wait(WatchedFd::Wait::wait_error,
                   [self = shared_from_this()](const ErrorCode& error) {
                     if (!error) self->close();
                   });
}

void PipeWriter::write(wire::Bytes bytes) {
  if (!pipe_.is_open() || ending_) return;
  buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!waiting_) flush();
}

void PipeWriter::end() {
  ending_ = true;
  if (pipe_.is_open() && written_ == buffer_.size()) close();
}

void PipeWriter::detach() {
  callbacks_ = {};
  end();
}

void PipeWriter::flush() {
  size_t count = 0;
  while (written_ < buffer_.size()) {
    const ssize_t done = ::write(pipe_.get(), buffer_.data() + written_, buffer_.size() - written_);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) break;
    if (done < 0) return close();
    written_ += static_cast<size_t>(done);
    count += static_cast<size_t>(done);
  }
  if (written_ == buffer_.size()) {
    buffer_.clear();
    written_ = 0;
  } else if (written_ >= wire::kMaxDataBytes) {
    buffer_.erase(0, written_);
    written_ = 0;
  }
  // A callback may drop the last outside reference, or detach this.
  const auto self = shared_from_this();
  const auto consumed = callbacks_.consumed;
  if (count != 0 && consumed) consumed(count);
  if (buffer_.empty()) {
    if (ending_ && pipe_.is_open()) close();
    return;
  }
  waiting_ = true;
  pipe_.async_wait(WatchedFd::Wait::wait_write, [self](const ErrorCode& error) {
    self->waiting_ = false;
    if (!error && self->pipe_.is_open()) self->flush();
  });
}

void PipeWriter::close() {
  if (!pipe_.is_open()) return;
  pipe_.close();
  const bool complete = ending_ && buffer_.empty();
  buffer_ = {};
  written_ = 0;
  const Callbacks callbacks = std::move(callbacks_);
  callbacks_ = {};
  if (!complete && callbacks.reader_gone) callbacks.reader_gone();
}

PipeReader::PipeReader(boost::asio::io_context& io, HeldFd read_end, Callbacks callbacks)
    : pipe_(io, std::move(read_end)), callbacks_(std::move(callbacks)) {}

void PipeReader::allow(size_t bytes) {
  allowed_ += bytes;
  if (!waiting_ && pipe_.is_open()) wait();
}

void PipeReader::close() {
  callbacks_ = {};
  pipe_.close();
}

void PipeReader::wait() {
  waiting_ = true;
  pipe_.async_wait(WatchedFd::Wait::wait_read, [self = shared_from_this()](const ErrorCode& error) {
    self->waiting_ = false;
    if (!error && self->pipe_.is_open()) self->read();
  });
}

void PipeReader::read() {
  std::array<std::byte, wire::kMaxDataBytes> chunk;
  const size_t most = std::min<size_t>(chunk.size(), allowed_);
  const ssize_t got = ::read(pipe_.get(), chunk.data(), most);
  if (got < 0 && errno != EAGAIN && errno != EINTR) return close();
  if (got == 0) {
    const auto ended = std::move(callbacks_.ended);
    close();
    if (ended) ended();
    return;
  }
  if (got > 0) {
    allowed_ -= static_cast<size_t>(got);
    const auto data = callbacks_.data;  // it may close this
    if (data) data({chunk.data(), static_cast<size_t>(got)});
  }
  if (allowed_ > 0 && pipe_.is_open()) wait();
}

}  // namespace vmette::core
