#include <exception>
#include <iostream>
#include <vmette.hpp>

#include "args.h"
#include "providers.h"
#include "quickstart.h"
#include "report.h"
#include "snapshot.h"
#include "usage.h"

namespace vmette_cli {
namespace {

int run_machine(Arguments& arguments) {
  if (arguments.rootfs) {
    arguments.config.set_rootfs(*arguments.rootfs, arguments.rootfs_ro);
  }
  const auto output = vmette::run(arguments.config);
  if (!output) {
    report(output.error());
    return 1;
  }
  if (output.value().end() == vmette::End::kError) report(output.value().end_message());
  return output.value().exit_code();
}

int dispatch(Arguments arguments) {
  switch (arguments.action) {
    case Action::kRun:
      return run_machine(arguments);
    case Action::kHelp:
      std::cout << usage_text();
      return 0;
    case Action::kVersion:
      std::cout << "vmette " << vmette::version() << '\n';
      return 0;
    case Action::kProviders:
      std::cout << providers_text();
      return 0;
    case Action::kQuickstart:
      return quickstart();
    case Action::kSnapshot:
      return snapshot_command(arguments.snapshot_verb, arguments.snapshot_path);
  }
  return 1;
}

}  // namespace
}  // namespace vmette_cli

int main(int argc, char** argv) {
  try {
    return vmette_cli::dispatch(vmette_cli::parse({argv + (argc > 0 ? 1 : 0), argv + argc}));
  } catch (const vmette_cli::UsageError& error) {
    vmette_cli::report(error.message);
    return 2;
  } catch (const std::exception& error) {
    vmette_cli::report(error.what());
  }
  return 1;
}
