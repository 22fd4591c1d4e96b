#include "core/rootfs/cache_dir.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "core/rootfs/root_path.h"

namespace vmette::core {
namespace {

#ifdef __APPLE__
constexpr const char* kUserCache = "/Library/Caches/vmette";
#else
constexpr const char* kUserCache = "/.cache/vmette";
#endif

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read only
  return value == nullptr ? std::string() : value;
}

bool is_directory(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

Result<std::string> cache_root(const Config& config) {
  if (!config.cache_dir.empty()) return absolute_path(config.cache_dir);
  // A relative one is to be ignored, says the specification of that variable.
  if (const std::string xdg = environment("XDG_CACHE_HOME"); !xdg.empty() && xdg[0] == '/')
    return xdg + "/vmette";
  if (const std::string home = environment("HOME"); !home.empty()) return home + kUserCache;
  return Error(Code::kInvalidConfig,
               "cache_dir: '' leaves it to XDG_CACHE_HOME or HOME, and neither is set; set one of "
               "the three",
               "rootfs");
}

Result<void> make_private_directory(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    const int made = mkdir(part.c_str(), 0700) == 0 ? 0 : errno;
    if (made != 0 && !is_directory(part)) {
      const int number = made == EEXIST ? ENOTDIR : made;
      return Error(Code::kIo,
                   one_line(fmt::format("cache_dir: '{}' cannot be made: {}; give a directory that "
                                        "can be written",
                                        part, errno_text(number))),
                   "rootfs", number);
    }
    if (at == std::string::npos) return success();
  }
}

}  // namespace vmette::core
