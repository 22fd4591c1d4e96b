#include "vmm/qemu/parent_watch.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace vmette::vmm {

ParentWatch watch_parent(pid_t pid) {
  ParentWatch watch;
#ifdef SYS_pidfd_open
  watch.fd.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
  watch.gone = !watch.fd && errno == ESRCH;
#else
  static_cast<void>(pid);
#endif
  return watch;
}

}  // namespace vmette::vmm
