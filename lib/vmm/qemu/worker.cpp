#include "vmm/qemu/worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <utility>

namespace vmette::vmm {
namespace {

// Signals are the event loop's.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

Worker::Worker(Work work) : done_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!done_) throw std::system_error(errno, std::generic_category(), "eventfd");
  const BlockedSignals blocked;
  thread_ = std::thread([this, fd = done_.get(), work = std::move(work)] {
    try {
      work(cancelled_);
    } catch (...) {
      error_ = std::current_exception();
    }
    const uint64_t one = 1;
    // Cannot fail: the counter is 0.
    [[maybe_unused]] const ssize_t ignored = write(fd, &one, sizeof one);
  });
}

Worker::~Worker() {
  cancel();
  if (thread_.joinable()) thread_.join();
}

bool Worker::finish() {
  if (!done_) return true;
  uint64_t count = 0;
  if (read(done_.get(), &count, sizeof count) != sizeof count) return false;
  thread_.join();
  done_.reset();
  return true;
}

}  // namespace vmette::vmm
