#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <utility>

#include "core/fork_guard.h"

namespace vmette::core {

// A descriptor that the reactor waits for, closed with this object. Threads as a
// stream_descriptor.
class WatchedFd {
 public:
  using Wait = boost::asio::posix::descriptor_base;

  WatchedFd(boost::asio::io_context& io, HeldFd fd) : fd_(std::move(fd)), watch_(io, fd_.get()) {}
  ~WatchedFd() { close(); }
  WatchedFd(const WatchedFd&) = delete;
  WatchedFd& operator=(const WatchedFd&) = delete;

  [[nodiscard]] int get() const { return fd_.get(); }
  [[nodiscard]] bool is_open() const { return fd_.valid(); }
  template <class Handler>
  void async_wait(Wait::wait_type what, Handler&& handler) {
    watch_.async_wait(what, std::forward<Handler>(handler));
  }
  // Waits end with an error. Taken out of the epoll set first: a copy that a child of fork() has
  // for a moment would keep it there.
  void close() {
    if (!is_open()) return;
    watch_.release();
    fd_.reset();
  }

 private:
  HeldFd fd_;
  boost::asio::posix::stream_descriptor watch_;
};

}  // namespace vmette::core
