// Runs a shell line in a machine with vmette::run(), as a program does that gives its terminal and
// its signals away for a while, and says afterwards whether it has them back.
//   run_line LINE          exit code: the command's
//   run_line LINE early    asks for a stop while there is no machine yet
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vmette.hpp>

namespace {

volatile sig_atomic_t g_own = 0;

void own_handler(int /*number*/) {
  g_own = g_own + 1;
}

class StopsEarly : public vmette::Provider {
 public:
  [[nodiscard]] std::string name() const override { return "early"; }
  [[nodiscard]] std::string claims() const override { return "early"; }
  [[nodiscard]] bool matches(const std::string& spec) override { return spec == "early"; }
  [[nodiscard]] vmette::result<vmette::RootfsArtifact> provide(
      const std::string& /*spec*/, vmette::ProviderContext& /*context*/) override {
    vmette::stop_run();
    vmette::RootfsArtifact root;
    root.set_path("/");
    return root;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  struct sigaction action{};
  action.sa_handler = own_handler;
  sigaction(SIGTERM, &action, nullptr);

  vmette::Config config;
  config.set_exec(argv[1]).set_quiet(true);
  if (argc == 3) config.add_provider(std::make_unique<StopsEarly>()).set_rootfs("early");
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
