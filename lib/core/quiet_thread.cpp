#include "core/quiet_thread.h"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace vmette::core {

std::thread quiet_thread(const char* name, std::function<void()> body) {
  // The new thread inherits the mask.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread([name, body = std::move(body)] {
#ifdef __linux__
      pthread_setname_np(pthread_self(), name);
#endif
      body();
    });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace vmette::core
