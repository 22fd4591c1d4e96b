#include "core/sigpipe.h"

#include <pthread.h>

namespace vmette::core {
namespace {

sigset_t sigpipe_alone() {
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGPIPE);
  return only;
}

}  // namespace

NoSigpipe::NoSigpipe() {
  const sigset_t only = sigpipe_alone();
  pthread_sigmask(SIG_BLOCK, &only, &before_);
}

NoSigpipe::~NoSigpipe() {
  if (sigismember(&before_, SIGPIPE) == 1) return;
  // Eats one that came meanwhile, so that unblocking does not deliver it.
  sigset_t pending;
  sigpending(&pending);
  if (sigismember(&pending, SIGPIPE) == 1) {
    const sigset_t only = sigpipe_alone();
    int number = 0;
    sigwait(&only, &number);
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace vmette::core
