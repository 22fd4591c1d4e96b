// The agent's only loop: epoll and a few deadlines, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::agent {

// Told when a descriptor that it watches is ready.
class Watcher {
 public:
  // `events` is epoll's mask. May call Loop::forget for any descriptor.
  virtual void ready(uint32_t events) = 0;

 protected:
  ~Watcher() = default;
};

// Told once when a moment has come.
class Alarm {
 public:
  virtual void due() = 0;

 protected:
  ~Alarm() = default;
};

// Owns the epoll descriptor; borrows watchers, alarms and the descriptors they watch. All watching
// is edge-triggered: a watcher remembers what was reported until a call answers EAGAIN. That keeps
// a descriptor that nobody may read yet (no credit) and a port whose host is away from spinning.
class Loop {
 public:
  Loop();

  // 0 or an errno (ENOMEM, ENOSPC). `events` without EPOLLET, which is added.
  int watch(int fd, uint32_t events, Watcher& watcher);
  // The other events from now on; what holds of them already is reported once more.
  void change(int fd, uint32_t events, Watcher& watcher);
  // Must precede closing `fd` and the watcher's end; an event already fetched is dropped.
  void forget(int fd, const Watcher& watcher);

  // Calls `alarm` once, `delay_us` from now; replaces an earlier moment of the same alarm.
  void set_alarm(Alarm& alarm, uint64_t delay_us);
  void clear_alarm(const Alarm& alarm);

  // Waits for the next event or alarm (not at all when `busy`) and delivers what there is. True
  // when there was an event.
  bool turn(bool busy);

 private:
  struct Moment {
    Alarm* alarm;
    uint64_t at_us;
  };

  int control(int operation, int fd, uint32_t events, Watcher& watcher);
  [[nodiscard]] int timeout_ms() const;
  void deliver_alarms();

  UniqueFd epoll_;
  std::vector<Moment> moments_;
  std::vector<void*> batch_;  // watchers of the events being delivered; null once forgotten
};

}  // namespace vmette::agent
