#pragma once

#include <sys/types.h>

#include "base/unique_fd.h"

namespace vmette::vmm {

struct ParentWatch {
  UniqueFd fd;        // readable once the process has ended; invalid where the system cannot tell
  bool gone = false;  // it had ended already
};

// Where the system has no such descriptor, the end of the socket alone tells of the parent's end.
ParentWatch watch_parent(pid_t pid);

}  // namespace vmette::vmm
