// Stand-ins for what the agent needs a machine for: no mount, no process, no power-off. Link them
// instead of the agent's own files of these names.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/unique_fd.h"

namespace vmette_fuzz {

// A "process" that the agent has started: its ends of its streams, played by the fuzzer.
struct FakeProcess {
  pid_t pid = -1;
  vmette::UniqueFd fds[3];
};

struct FakeMachine {
  std::vector<FakeProcess> processes;
  struct Ended {
    pid_t pid;
    int status;
  };
  std::vector<Ended> ended;  // not yet collected by wait4()
  int spawn_error = 0;       // of the next spawn
  int spawn_stage = 0;
  bool powering_off = false;
  pid_t last_pid = 0;
};

// Of this input.
FakeMachine& machine();

// The process ends and its parent is told.
void end_process(size_t index, int status);

}  // namespace vmette_fuzz
