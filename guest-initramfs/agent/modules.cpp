#include "modules.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"
#include "system.h"

namespace vmette::agent {
namespace {

constexpr const char* kDirectory = "/lib/modules/vmette";

}  // namespace

Modules::Modules() {
  const std::string path = std::string(kDirectory) + "/modules.dep";
  if (const auto text = read_file(AT_FDCWD, path.c_str(), 1024 * 1024)) {
    list_ = ModuleList(*text);
  } else if (errno != ENOENT) {
    throw SetupError("modules", errno, path, "cannot read the list of kernel modules");
  }
}

void Modules::load(std::string_view name) {
  for (const std::string& module : list_.resolve(name, loaded_)) insert(module);
}

void Modules::insert(const std::string& name) {
  const std::string path = std::string(kDirectory) + "/" + name + ".ko";
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw SetupError("modules", errno, path, "cannot open a kernel module");
  if (syscall(SYS_finit_module, file.get(), "", 0) == 0 || errno == EEXIST) return;
  throw SetupError("modules", errno, path, "the kernel refused a module");
}

}  // namespace vmette::agent
