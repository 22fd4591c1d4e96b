#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/fork_guard.h"

namespace vmette::core {

// Runs the I/O and the timers of every session in the process on one private thread.
//
// Threads: post() from any thread; everything reached through io() on the reactor's thread only.
// Takes from the host: one thread and its epoll descriptors. The thread blocks all signals and
// waits for no child but the helpers, each by its own handle.
// Lives as long as someone holds it: the first session starts it, the last one's holder stops and
// joins it; never let the last reference go on the reactor's own thread.
// A child of fork() has no thread behind its parent's reactor and must not touch it; it gets its
// own.
class Reactor {
 public:
  // The process's reactor, started when there is none.
  static Result<std::shared_ptr<Reactor>> get();

  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  boost::asio::io_context& io() { return io_; }
  void post(std::function<void()> work) { boost::asio::post(io_, std::move(work)); }
  // Called with a line when a handler has thrown (memory or descriptors ran out): the exception
  // ends here and not in the host program, but what it left half done cannot be relied on any more.
  // `who` names the listener. Reactor thread only.
  void listen_for_failure(const void* who, std::function<void(const std::string&)> listener);
  void stop_listening(const void* who) { listeners_.erase(who); }
  // Whether it belongs to a parent of this process. Any thread.
  [[nodiscard]] bool inherited() const { return generation_ != fork_generation(); }
  [[nodiscard]] bool on_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  Reactor();
  void run();
  void tell(const std::string& what);

  const uint32_t generation_ = fork_generation();
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::map<const void*, std::function<void(const std::string&)>> listeners_;
  std::thread thread_;
};

}  // namespace vmette::core
