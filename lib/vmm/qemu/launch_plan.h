#pragma once

#include <functional>
#include <string>

#include "vmm/qemu/accel.h"

namespace vmette::vmm {

// What was decided about a machine before its QEMU is started.
struct LaunchPlan {
  std::string program;
  AccelChoice accel;
  std::string cmdline;
};

// Asks for `ready` to be called with what poll() says of `fd`; nothing for -1.
using AddWatch = std::function<void(int fd, int events, std::function<void(short)> ready)>;

}  // namespace vmette::vmm
