#include "vmm/qemu/program.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "vmm/qemu/failure.h"

namespace vmette::vmm {

bool is_program(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) return false;
  if (!S_ISREG(info.st_mode)) {
    errno = EACCES;
    return false;
  }
  return access(path.c_str(), X_OK) == 0;
}

std::string find_in_path(const std::string& name) {
  const char* variable = getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
  std::string_view rest = variable != nullptr ? variable : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    const size_t colon = rest.find(':');
    const std::string_view folder = rest.substr(0, colon);
    // An empty or relative entry means the caller's working folder: not a place to run code from.
    if (folder.starts_with('/')) {
      std::string path = fmt::format("{}/{}", folder, name);
      if (is_program(path)) return path;
    }
    if (colon == std::string_view::npos) return {};
    rest.remove_prefix(colon + 1);
  }
}

std::string find_tool(const char* variable, const char* name,
                      std::initializer_list<const char*> usual) {
  const char* given = getenv(variable);  // NOLINT(concurrency-mt-unsafe): one thread
  if (given != nullptr && *given != '\0') {
    if (is_program(given)) return given;
    throw Failure("not_found",
                  fmt::format("{}: {} cannot be run: {}; give the full path of {}", variable, given,
                              std::generic_category().message(errno), name));
  }
  std::string found = find_in_path(name);
  for (const char* path : usual)
    if (found.empty() && is_program(path)) found = path;
  return found;
}

std::string find_qemu(const std::string& wanted, Arch arch) {
  const char* package = arch == Arch::kX86_64 ? "qemu-system-x86" : "qemu-system-arm";
  const std::string usual = fmt::format("qemu-system-{}", name_of(arch));
  const char* variable = getenv("VMETTE_QEMU");  // NOLINT(concurrency-mt-unsafe): one thread

  std::string name = usual;
  std::string source;
  if (!wanted.empty()) {
    name = wanted;
    source = "qemu: ";
  } else if (variable != nullptr && *variable != '\0') {
    name = variable;
    source = "VMETTE_QEMU: ";
  }
  if (name.find('/') == std::string::npos) {
    std::string found = find_in_path(name);
    if (!found.empty()) return found;
    throw Failure("not_found",
                  fmt::format("{}{} is not in PATH; install the package {} or set VMETTE_QEMU",
                              source, name, package));
  }
  if (is_program(name)) return name;
  throw Failure("not_found",
                fmt::format("{}{} cannot be run: {}; install the package {} or set VMETTE_QEMU",
                            source, name, std::generic_category().message(errno), package));
}

std::string parse_version(const std::string& output) {
  constexpr std::string_view kMark = "version ";
  const size_t mark = output.find(kMark);
  if (mark == std::string::npos) return {};
  const size_t begin = mark + kMark.size();
  return output.substr(begin, output.find_first_of(" (\n", begin) - begin);
}

}  // namespace vmette::vmm
