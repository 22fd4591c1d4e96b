#include <iostream>
#include <vmette.hpp>

int main() {
  vmette::Config config;
  config.set_exec("echo Hello from $(hostname), a $(uname) guest");
  config.set_capture_output(true).set_quiet(true);
  auto output = vmette::run(config);
  if (!output) {
    std::cerr << "vmette: " << output.error().message() << '\n';
    return 1;
  }
  std::cout << output.value().stdout_text();
  return output.value().exit_code();
}
