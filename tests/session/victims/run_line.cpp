// Runs a shell line in a machine with vmette::run(), as a program does that gives its terminal and
// its signals away for a while, and says afterwards whether it has them back.
//   run_line LINE     exit code: the command's
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <vmette.hpp>

namespace {

volatile sig_atomic_t g_own = 0;

void own_handler(int /*number*/) {
  g_own = g_own + 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  struct sigaction action{};
  action.sa_handler = own_handler;
  sigaction(SIGTERM, &action, nullptr);

  vmette::Config config;
  config.set_exec(argv[1]).set_quiet(true);
  const auto output = vmette::run(config);

  const sig_atomic_t before = g_own;
  raise(SIGTERM);
  std::fprintf(stderr, "handler: %s\n", before == 0 && g_own == 1 ? "back" : "not the caller's");
  if (!output) {
    std::fprintf(stderr, "%s: %s\n", vmette::code_name(output.error().code()),
                 output.error().message().data());
    return 1;
  }
  return output.value().exit_code();
}
