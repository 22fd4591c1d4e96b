#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "core/error.h"
#include "core/fork_guard.h"

namespace vmette::core {

// A started vmette-vmm. Owns the library's end of its socket and the handle by which its end is
// seen; the process itself ends when the socket closes.
struct HelperProcess {
  pid_t pid = -1;
  UniqueFd pidfd;   // readable once the process has ended
  UniqueFd socket;  // non-blocking
  FdMark mark;      // of the socket; goes first
};

// Starts the program with one end of a socket as descriptor 3, /dev/null as 0 to 2, no other
// descriptor, default signals and a session of its own. The new process is no child of this one: it
// sends no SIGCHLD and no wait() returns it, so a host program that waits for its own children
// never meets it. As any orphan it is collected by the system's PID 1 (or the nearest subreaper),
// which in a container must be a program that does so. Any thread.
Result<HelperProcess> spawn_helper(const std::string& program,
                                   const std::vector<std::string>& arguments = {});

// Empty while the helper runs; otherwise "ended", or more where this process is the one that
// collects orphans: "exited with status 0", "was killed by signal 9".
std::string reap_helper(const HelperProcess& helper);

// Ends a helper that does not react any more.
void kill_helper(const HelperProcess& helper);

}  // namespace vmette::core
