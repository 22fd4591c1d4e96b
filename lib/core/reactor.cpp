#include "core/reactor.h"

#include <exception>
#include <system_error>
#include <utility>

#include "core/quiet_thread.h"

namespace vmette::core {

Reactor::Reactor() : work_(boost::asio::make_work_guard(io_)) {
  thread_ = quiet_thread("vmette", [this] { run(); });
}

void Reactor::run() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& error) {
      tell(error.what());
    }
  }
}

void Reactor::tell(const std::string& what) {
  const auto listeners = listeners_;  // they take themselves off
  for (const auto& [who, listener] : listeners) {
    try {
      listener(what);
    } catch (const std::exception&) {
      continue;  // there is nobody left to tell
    }
  }
}

void Reactor::listen_for_failure(const void* who,
                                 std::function<void(const std::string&)> listener) {
  listeners_[who] = std::move(listener);
}

Reactor::~Reactor() {
  work_.reset();
  io_.stop();
  thread_.join();
}

Result<std::shared_ptr<Reactor>> Reactor::get() {
  static std::weak_ptr<Reactor> current;
  if (const int error = fork_guard_status(); error != 0)
    return os_error("the library cannot hear of forks", error, "library");
  // The lock, which no child finds taken.
  const ForkGate gate;
  if (auto reactor = current.lock(); reactor && !reactor->inherited()) return reactor;
  try {
    std::shared_ptr<Reactor> reactor(new Reactor);
    current = reactor;
    return reactor;
  } catch (const std::system_error& error) {
    return Error(Code::kIo,
                 std::string("the library's thread could not be started: ") + error.what(),
                 "library", error.code().value());
  }
}

}  // namespace vmette::core
