#include "loop.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "system.h"

namespace vmette::agent {

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) die("no epoll: " + error_text(errno));
}

int Loop::control(int operation, int fd, uint32_t events, Watcher& watcher) {
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.ptr = &watcher;
  return epoll_ctl(epoll_.get(), operation, fd, &event) == 0 ? 0 : errno;
}

int Loop::watch(int fd, uint32_t events, Watcher& watcher) {
  return control(EPOLL_CTL_ADD, fd, events, watcher);
}

void Loop::change(int fd, uint32_t events, Watcher& watcher) {
  control(EPOLL_CTL_MOD, fd, events, watcher);
}

void Loop::forget(int fd, const Watcher& watcher) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (void*& entry : batch_)
    if (entry == &watcher) entry = nullptr;
}

void Loop::set_alarm(Alarm& alarm, uint64_t delay_us) {
  clear_alarm(alarm);
  moments_.push_back({&alarm, uptime_us() + delay_us});
}

void Loop::clear_alarm(const Alarm& alarm) {
  std::erase_if(moments_, [&](const Moment& moment) { return moment.alarm == &alarm; });
}

int Loop::timeout_ms() const {
  if (moments_.empty()) return -1;
  const auto next =
      std::min_element(moments_.begin(), moments_.end(),
                       [](const Moment& a, const Moment& b) { return a.at_us < b.at_us; });
  const uint64_t now = uptime_us();
  if (next->at_us <= now) return 0;
  return static_cast<int>(std::min<uint64_t>((next->at_us - now + 999) / 1000, INT_MAX));
}

void Loop::deliver_alarms() {
  if (moments_.empty()) return;
  const uint64_t now = uptime_us();
  while (true) {
    const auto found = std::find_if(moments_.begin(), moments_.end(),
                                    [&](const Moment& moment) { return moment.at_us <= now; });
    if (found == moments_.end()) return;
    Alarm* alarm = found->alarm;
    moments_.erase(found);
    alarm->due();
  }
}

bool Loop::turn(bool busy) {
  epoll_event events[64];
  const int count = epoll_wait(epoll_.get(), events, 64, busy ? 0 : timeout_ms());
  if (count < 0 && errno != EINTR) die("epoll_wait: " + error_text(errno));
  batch_.clear();
  for (int i = 0; i < count; ++i) {
    void* const watcher = events[i].data.ptr;  // a copy: the kernel's struct is packed
    batch_.push_back(watcher);
  }
  for (size_t i = 0; i < batch_.size(); ++i) {
    if (batch_[i] != nullptr) static_cast<Watcher*>(batch_[i])->ready(events[i].events);
  }
  batch_.clear();
  deliver_alarms();
  return count > 0;
}

}  // namespace vmette::agent
