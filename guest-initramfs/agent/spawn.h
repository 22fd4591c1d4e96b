// Starts a process the way vfork does: the agent sleeps until the child has replaced itself or
// failed, nothing is copied, and the child's failure comes back as a stage and an errno.
#pragma once

#include <sys/types.h>

#include <string>

#include "accounts.h"
#include "launch.h"

namespace vmette::agent {

// All descriptors are borrowed.
struct SpawnRequest {
  const Launch* launch = nullptr;
  const Account* account = nullptr;  // null: the caller's own
  const char* cwd = nullptr;         // null: `root`, or without one the caller's own
  int fds[3] = {-1, -1, -1};         // become 0, 1 and 2; none of them is below 3
  bool terminal = false;             // fds[0] becomes the controlling terminal
  int root = -1;                     // chroot here, -1: stay
  int cgroup = -1;                   // control group to start in, -1: the agent's
};

enum class SpawnStage : int { kNone, kFork, kProcess, kTerminal, kUser, kCwd, kExec };

struct SpawnResult {
  pid_t pid = -1;  // of the running command
  SpawnStage stage = SpawnStage::kNone;
  int error = 0;
};

// The command leads a session of its own, has default signal actions, no blocked signal, no
// descriptor above 2, umask 022 and an open-files limit of 1024 that it may raise.
SpawnResult spawn(const SpawnRequest& request);

}  // namespace vmette::agent
