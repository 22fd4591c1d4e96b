// Holds a machine until it is killed.
//   holder ready     boots, starts a command, says "ready"
//   holder booting   launches, says "ready" while the machine boots
//   holder forked    as ready, with a child that keeps every descriptor and outlives it
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vmette.hpp>

int main(int argc, char** argv) {
  const std::string mode = argc == 2 ? argv[1] : "";
  vmette::Config config;
  config.set_exec("echo begun; sleep 1000").set_capture_output(true);
  auto session = vmette::Session::create(config);
  if (!session || !session.value().launch()) return 1;
  if (mode != "booting" && !session.value().wait_ready()) return 1;
  if (mode == "forked" && fork() == 0) {
    // The test ends it by closing stdin.
    char byte = 0;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    _exit(0);
  }
  std::puts("ready");
  std::fflush(stdout);
  (void)session.value().wait();
  return 0;
}
