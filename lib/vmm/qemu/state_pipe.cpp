#include "vmm/qemu/state_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace vmette::vmm {

StatePipe make_state_pipe() {
  constexpr int kBytes = 1 << 20;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe");
  // A smaller one is only slower.
  fcntl(ends[0], F_SETPIPE_SZ, kBytes);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace vmette::vmm
