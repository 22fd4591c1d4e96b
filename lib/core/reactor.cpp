#include "core/reactor.h"

#include <pthread.h>

#include <csignal>
#include <mutex>
#include <system_error>

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
      io_.run();
    });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
