// Waiting for devices.
#pragma once

#include <cstdint>
#include <functional>

#include "base/unique_fd.h"

namespace vmette::agent {

// Listens to the kernel's device events from construction on, so that nothing that happens between
// a look and the wait is missed.
class Uevents {
 public:
  Uevents();

  // Calls `found` at once and after every device event until it returns true. False when
  // `timeout_ms` has passed before.
  bool wait_until(const std::function<bool()>& found, int timeout_ms);

 private:
  void drain();

  UniqueFd socket_;
};

}  // namespace vmette::agent
