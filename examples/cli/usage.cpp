#include "usage.h"

#include "args.h"

namespace vmette_cli {
namespace {

std::string_view title(Flag::Group group) {
  switch (group) {
    case Flag::Group::kAssets:
      return "boot assets (default: VMETTE_ASSETS_DIR/<arch>, the build, the install prefix)";
    case Flag::Group::kRoot:
      return "root file system";
    case Flag::Group::kWorkload:
      return "workload";
    case Flag::Group::kRuntime:
      return "machine";
    case Flag::Group::kSnapshot:
      return "snapshots";
  }
  return "";
}

std::string flag_line(const Flag& flag) {
  constexpr std::size_t kHelpColumn = 27;
  std::string line = "  " + std::string(flag.name);
  if (!flag.form.empty()) line += " " + std::string(flag.form);
  line.resize(std::max(line.size() + 1, kHelpColumn), ' ');
  return line + std::string(flag.help) + "\n";
}

}  // namespace

std::string usage_text() {
  std::string text =
      R"(vmette runs a command in a fresh Linux virtual machine and returns its exit code.

  vmette [OPTION...] --exec CMD       run a shell line
  vmette [OPTION...] -- CMD ARG...    run a program
  vmette [OPTION...]                  interactive shell
  vmette quickstart                   boot a machine to see that everything works
  vmette providers                    list what --rootfs understands
  vmette snapshot info PATH           what is in a snapshot; also verify, remove
  vmette version | -V | --version     print the version
  vmette -h | --help                  print this text
)";
  const Flag* last = nullptr;
  for (const Flag& flag : flags()) {
    if (last == nullptr || last->group != flag.group) {
      text += "\n" + std::string(title(flag.group)) + ":\n";
    }
    text += flag_line(flag);
    last = &flag;
  }
  return text + R"(
exit code: the command's, 128+n when signal n ended it; 124 after --timeout;
1 when the machine could not do it; 2 for a command line that cannot be understood.
)";
}

}  // namespace vmette_cli
