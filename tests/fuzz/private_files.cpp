#include "private_files.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmette_fuzz {
namespace {

using vmette::UniqueFd;
namespace fs = std::filesystem;

// MS_PRIVATE and the calls by number: the C library's header of them and the kernel's exclude each
// other.
constexpr uint64_t kPrivate = 1 << 18;

long set_attributes(int directory, const char* path, unsigned flags, const mount_attr& attributes) {
  return syscall(SYS_mount_setattr, directory, path, flags, &attributes, sizeof attributes);
}

// A folder of finds, as the fuzzer's command line names it.
std::vector<fs::path> folders_of_finds() {
  std::vector<fs::path> folders;
  std::ifstream command("/proc/self/cmdline");
  std::string word;
  std::getline(command, word, '\0');
  constexpr std::string_view kPrefix = "-artifact_prefix=";
  while (std::getline(command, word, '\0')) {
    const bool prefix = word.starts_with(kPrefix);
    const fs::path path =
        prefix ? fs::path(word.substr(kPrefix.size())).parent_path() : fs::path(word);
    std::error_code ignored;
    if ((prefix || !word.starts_with('-')) && fs::is_directory(path, ignored))
      folders.push_back(fs::absolute(path));
  }
  return folders;
}

// Each is a mount of its own, so that it can be written while what is around it cannot.
bool keep_writable(const fs::path& folder) {
  const UniqueFd copy(static_cast<int>(
      syscall(SYS_open_tree, AT_FDCWD, folder.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  return copy && syscall(SYS_move_mount, copy.get(), "", AT_FDCWD, folder.c_str(),
                         MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

bool confine() {
  const std::vector<fs::path> folders = folders_of_finds();
  if (unshare(CLONE_NEWNS) != 0) return false;
  mount_attr attributes{};
  attributes.propagation = kPrivate;
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (set_attributes(AT_FDCWD, "/", AT_RECURSIVE, attributes) != 0) return false;
  mount_attr writable{};
  writable.attr_clr = MOUNT_ATTR_RDONLY;
  for (const fs::path& folder : folders)
    if (!keep_writable(folder) || set_attributes(AT_FDCWD, folder.c_str(), 0, writable) != 0)
      return false;
  // What cannot be written now could be before, by root at least.
  const UniqueFd probe(open("/", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  return !probe && errno == EROFS && empty_file_system().valid();
}

}  // namespace

bool confined() {
  static const bool done = confine();
  return done;
}

UniqueFd empty_file_system() {
  const UniqueFd context(static_cast<int>(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  for (const auto& [key, value] : {std::pair{"size", "8m"}, std::pair{"nr_inodes", "2000"}})
    if (syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key, value, 0) != 0) return {};
  if (syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return {};
  constexpr unsigned kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  return UniqueFd(
      static_cast<int>(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, kAttributes)));
}

}  // namespace vmette_fuzz
