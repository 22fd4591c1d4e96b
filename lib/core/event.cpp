#include "core/event.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

namespace vmette::core {

Event::Event() {
  const ForkGate gate;
#ifdef __linux__
  read_end_ = HeldFd(gate, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
#else
  int ends[2];
  if (pipe(ends) != 0) return;
  for (int end : ends) {
    fcntl(end, F_SETFD, FD_CLOEXEC);
    fcntl(end, F_SETFL, O_NONBLOCK);
  }
  read_end_ = HeldFd(gate, ends[0]);
  write_end_ = HeldFd(gate, ends[1]);
#endif
}

void Event::set() {
  const uint64_t one = 1;
  const int fd = write_end_.valid() ? write_end_.get() : read_end_.get();
  // A full counter or pipe means that it is set already.
  [[maybe_unused]] const ssize_t written = ::write(fd, &one, sizeof one);
}

bool Event::wait(int64_t timeout_ms) const {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  pollfd item{fd(), POLLIN, 0};
  for (;;) {
    int64_t left = -1;
    if (timeout_ms >= 0) {
      const auto gone = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
      left = std::clamp<int64_t>(timeout_ms - gone.count(), 0, std::numeric_limits<int>::max());
    }
    const int ready = poll(&item, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready == 0 && left == 0) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

}  // namespace vmette::core
