// The host's ends of a guest process's streams: pipes that the caller polls, pumped by the reactor.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/watched_fd.h"
#include "wire/messages.h"

namespace vmette::core {

struct PipeEnds {
  HeldFd read;
  HeldFd write;
};

// A CLOEXEC pipe; `pumped` names the end that the reactor uses, which is made non-blocking.
enum class Pumped : uint8_t { kRead, kWrite };
Result<PipeEnds> make_pipe(Pumped pumped);

// Writes a guest's output into a pipe. Holds what the pipe does not take; the credit window bounds
// it, because `consumed` is called only for bytes that are in the pipe. Reactor thread only.
class PipeWriter : public std::enable_shared_from_this<PipeWriter> {
 public:
  struct Callbacks {
    std::function<void(size_t)> consumed;  // so many bytes left this buffer
    std::function<void()> reader_gone;     // the caller closed its end, once
  };

  PipeWriter(boost::asio::io_context& io, HeldFd write_end, Callbacks callbacks);

  void start();  // watches for a reader that goes away
  void write(wire::Bytes bytes);
  // Closes the pipe once everything is written.
  void end();
  // No more callbacks: the session is over. What is buffered still reaches the reader.
  void detach();

 private:
  void flush();
  void close();

  WatchedFd pipe_;
  Callbacks callbacks_;
  std::string buffer_;
  size_t written_ = 0;  // of buffer_
  bool waiting_ = false;
  bool ending_ = false;
};

// Reads a command's stdin from a pipe, no faster than the guest grants. Reactor thread only.
class PipeReader : public std::enable_shared_from_this<PipeReader> {
 public:
  struct Callbacks {
    std::function<void(wire::Bytes)> data;
    std::function<void()> ended;  // the caller closed its end, once
  };

  PipeReader(boost::asio::io_context& io, HeldFd read_end, Callbacks callbacks);

  void allow(size_t bytes);  // the guest takes this many more
  void close();              // the command is gone: the caller's next write gets EPIPE

 private:
  void wait();
  void read();

  WatchedFd pipe_;
  Callbacks callbacks_;
  size_t allowed_ = 0;
  bool waiting_ = false;
};

}  // namespace vmette::core
