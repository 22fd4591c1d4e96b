// vmette-vmm: supervises one QEMU for the library at the other end of descriptor 3.
// docs/vmm-protocol.md has the dialogue.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>

#include "base/close_from.h"
#include "vmm/qemu/pack_mode.h"
#include "vmm/qemu/supervisor.h"
#include "vmm/qemu/tsc.h"

namespace {

constexpr int kSocketFd = 3;
constexpr int kUsageError = 2;

bool is_library_socket(int fd) {
  int type = 0;
  socklen_t type_bytes = sizeof type;
  sockaddr address{};
  socklen_t address_bytes = sizeof address;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_bytes) == 0 && type == SOCK_STREAM &&
         getpeername(fd, &address, &address_bytes) == 0 && address.sa_family == AF_UNIX;
}

// Nothing of the host program stays open or pinned here: neither its files, its terminal nor its
// working folder.
void leave_host() {
  vmette::close_from(kSocketFd + 1);
  fcntl(kSocketFd, F_SETFD, FD_CLOEXEC);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < kSocketFd && null >= 0; ++fd) dup2(null, fd);
  if (null > kSocketFd) close(null);
  setsid();
  if (chdir("/") != 0) _exit(kUsageError);
}

}  // namespace

int main(int argc, char** argv) {
  const vmette::vmm::TickSample start = vmette::vmm::sample_ticks();
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::puts("vmette-vmm " VMETTE_VERSION " (qemu)");
    return 0;
  }
  const bool packs = argc == 2 && std::strcmp(argv[1], "pack") == 0;
  if ((argc != 1 && !packs) || !is_library_socket(kSocketFd)) {
    std::fputs("vmette-vmm: is started by libvmette, not by hand (descriptor 3 is no socket)\n",
               stderr);
    return kUsageError;
  }
  leave_host();
  try {
    if (packs) return vmette::vmm::pack_mode(vmette::UniqueFd(kSocketFd));
    vmette::vmm::Supervisor(vmette::UniqueFd(kSocketFd), start).run();
  } catch (const std::exception&) {
    return 1;
  }
  return 0;
}
