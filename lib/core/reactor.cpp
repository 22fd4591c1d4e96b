#include "core/reactor.h"

#include <pthread.h>

#include <csignal>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>

namespace vmette::core {

Reactor::Reactor() : work_(boost::asio::make_work_guard(io_)) {
  // The new thread inherits the mask, so that the host's signals never land on it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] {
#ifdef __linux__
      pthread_setname_np(pthread_self(), "vmette");
#endif
      run();
    });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
  static std::mutex mutex;
  static std::weak_ptr<Reactor> current;
  const std::lock_guard lock(mutex);
  if (auto reactor = current.lock()) return reactor;
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
