// vmette-agent: PID 1 of the guest. docs/guest-protocol.md says what it does.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "agent.h"
#include "boot.h"
#include "system.h"

int main() {
  using namespace vmette::agent;
  const uint64_t start_us = uptime_us();
  if (getpid() != 1) {
    std::fputs("vmette-agent " VMETTE_VERSION ": runs as PID 1 of a vmette machine only\n", stderr);
    return 2;
  }
  // SIGCHLD comes through a descriptor; nothing else is for PID 1.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  prepare_process();
  try {
    Modules modules;
    Uevents devices;
    vmette::UniqueFd port = open_control_port(modules, devices);
    Agent(std::move(port), modules, devices, start_us).run();
  } catch (const SetupError& error) {
    die(error.failure().stage + ": " + error.what());
  }
}
