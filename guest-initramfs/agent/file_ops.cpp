#include "file_ops.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/file_time.h"
#include "paths.h"
#include "process_list.h"
#include "system.h"

namespace vmette::agent {
namespace {

constexpr mode_t kPermissionBits = 07777;

Answer failed(int error) {
  return {error, {}};
}

// The answer of a system call that returned `result`.
Answer answer(int result) {
  return failed(result == 0 ? 0 : errno);
}

UniqueFd open_path(const RootFs& root, const wire::Call& call) {
  const bool follow = (call.flags & wire::kCallFollow) != 0;
  return open_in_root(root.directory.get(), call.path, O_PATH | (follow ? 0 : O_NOFOLLOW));
}

// Whatever the agent's umask is. By descriptor: a command may have put a link in its place.
Answer set_new_mode(const Place& place, mode_t mode) {
  const UniqueFd made(openat(place.directory.get(), place.name.c_str(),
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return answer(made ? fchmod(made.get(), mode) : -1);
}

uint64_t meminfo(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return 0;
  const size_t digits = text.find_first_of("0123456789", at);
  uint64_t value = 0;
  if (digits != std::string_view::npos)
    std::from_chars(text.data() + digits, text.data() + text.size(), value);
  return value;
}

}  // namespace

std::optional<wire::FileInfo> file_info(int directory, const char* name) {
  struct stat status{};
  const int flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (fstatat(directory, name, &status, flags) != 0) return std::nullopt;
  wire::FileInfo info;
  info.mode = status.st_mode;
  info.uid = status.st_uid;
  info.gid = status.st_gid;
  info.size = static_cast<uint64_t>(status.st_size);
  info.blocks = static_cast<uint64_t>(status.st_blocks);
  info.inode = status.st_ino;
  info.links = status.st_nlink;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) info.device = status.st_rdev;
  info.mtime_ns = to_nanoseconds(status.st_mtim);
  if (S_ISLNK(status.st_mode)) {
    std::array<char, PATH_MAX> target;
    const ssize_t size = readlinkat(directory, name, target.data(), target.size());
    if (size < 0) return std::nullopt;
    info.target.assign(target.data(), static_cast<size_t>(size));
  }
  return info;
}

Answer stat_file(const RootFs& root, const wire::Call& call) {
  const UniqueFd file = open_path(root, call);
  if (!file) return failed(errno);
  Answer result;
  result.result.info = file_info(file.get(), "");
  if (!result.result.info) result.error = errno;
  return result;
}

Answer make_directory(const RootFs& root, const wire::Call& call) {
  const int top = root.directory.get();
  const bool parents = (call.flags & wire::kCallParents) != 0;
  if (parents)
    if (const int error = make_parents(top, call.path); error != 0) return failed(error);
  const Place place = place_of(top, call.path);
  if (place.error == EBUSY) return failed(parents ? 0 : EEXIST);
  if (place.error != 0) return failed(place.error);
  const mode_t mode = call.mode & kPermissionBits;
  if (mkdirat(place.directory.get(), place.name.c_str(), mode) == 0)
    return set_new_mode(place, mode);
  if (errno != EEXIST || !parents) return failed(errno);
  return failed(open_in_root(top, call.path, O_PATH | O_DIRECTORY) ? 0 : EEXIST);
}

Answer rename_file(const RootFs& root, const wire::Call& call) {
  const Place from = place_of(root.directory.get(), call.path);
  if (from.error != 0) return failed(from.error);
  const Place to = place_of(root.directory.get(), call.to);
  if (to.error != 0) return failed(to.error);
  const int old_directory = from.directory.get();
  const int new_directory = to.directory.get();
  const char* old_name = from.name.c_str();
  const char* new_name = to.name.c_str();
  if ((call.flags & wire::kCallExclusive) == 0)
    return answer(renameat(old_directory, old_name, new_directory, new_name));
  if (renameat2(old_directory, old_name, new_directory, new_name, RENAME_NOREPLACE) == 0) return {};
  // 9p cannot; a second name, which all but directories may have, is as exclusive.
  if (errno != EINVAL) return failed(errno);
  if (linkat(old_directory, old_name, new_directory, new_name, 0) != 0) return failed(errno);
  return answer(unlinkat(old_directory, old_name, 0));
}

Answer make_symlink(const RootFs& root, const wire::Call& call) {
  const Place place = place_of(root.directory.get(), call.path);
  if (place.error != 0) return failed(place.error);
  return answer(symlinkat(call.to.c_str(), place.directory.get(), place.name.c_str()));
}

// Through /proc, because a descriptor that was opened for its path alone takes no fchmod.
Answer change_mode(const RootFs& root, const wire::Call& call) {
  const UniqueFd file = open_in_root(root.directory.get(), call.path, O_PATH);
  if (!file) return failed(errno);
  const std::string itself = "self/fd/" + std::to_string(file.get());
  return answer(fchmodat(root.proc.get(), itself.c_str(), call.mode & kPermissionBits, 0));
}

Answer change_owner(const RootFs& root, const wire::Call& call) {
  const UniqueFd file = open_path(root, call);
  if (!file) return failed(errno);
  return answer(fchownat(file.get(), "", static_cast<uid_t>(call.uid), static_cast<gid_t>(call.gid),
                         AT_EMPTY_PATH));
}

Answer set_mtime(const RootFs& root, const wire::Call& call) {
  const UniqueFd file = open_path(root, call);
  if (!file) return failed(errno);
  const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(call.mtime_ns)};
  return answer(utimensat(file.get(), "", times, AT_EMPTY_PATH));
}

Answer machine_stats(const RootFs& root) {
  struct sysinfo system{};
  struct statvfs disk{};
  if (sysinfo(&system) != 0 || fstatvfs(root.directory.get(), &disk) != 0) return failed(errno);
  const auto memory = read_file(root.proc.get(), "meminfo");
  if (!memory) return failed(errno);
  Answer result;
  wire::GuestStats& stats = result.result.stats.emplace();
  stats.uptime_us = uptime_us();
  stats.memory_kib = meminfo(*memory, "MemTotal:");
  stats.memory_available_kib = meminfo(*memory, "MemAvailable:");
  for (int i = 0; i < 3; ++i)
    stats.load_milli[i] = static_cast<uint32_t>((system.loads[i] * 1000) >> SI_LOAD_SHIFT);
  stats.processes = static_cast<uint32_t>(list_processes(root.proc.get()).size());
  stats.root_bytes = static_cast<uint64_t>(disk.f_blocks) * disk.f_frsize;
  stats.root_available_bytes = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  return result;
}

}  // namespace vmette::agent
