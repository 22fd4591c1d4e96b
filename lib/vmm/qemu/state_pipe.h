#pragma once

#include "base/unique_fd.h"

namespace vmette::vmm {

// The way of a machine's state between QEMU and this process. Both ends block.
struct StatePipe {
  UniqueFd reader;
  UniqueFd writer;
};

// As large as the system allows, up to 1 MiB. Throws std::system_error.
StatePipe make_state_pipe();

}  // namespace vmette::vmm
