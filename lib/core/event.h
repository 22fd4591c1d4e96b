#pragma once

#include <cstdint>

#include "core/fork_guard.h"

namespace vmette::core {

// A one-way switch that threads and event loops can wait for: its descriptor becomes readable when
// set() is called and stays so. set() may be called from any thread, any number of times.
class Event {
 public:
  Event();  // valid() is false when the process is out of descriptors

  [[nodiscard]] bool valid() const { return read_end_.valid(); }
  [[nodiscard]] int fd() const { return read_end_.get(); }
  void set();

  // Waits until it is set; false when `timeout_ms` passed first. -1: for ever.
  [[nodiscard]] bool wait(int64_t timeout_ms) const;

 private:
  HeldFd read_end_;
  HeldFd write_end_;  // not used where one descriptor serves both ends
};

}  // namespace vmette::core
