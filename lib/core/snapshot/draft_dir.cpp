#include "core/snapshot/draft_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <random>

#include "core/rootfs/root_path.h"
#include "core/snapshot/snapshot_dir.h"

namespace vmette::core {
namespace {

constexpr std::string_view kMark = ".vmette-";
constexpr size_t kDigits = 16;
constexpr size_t kMaxNameBytes = 255;

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

uint64_t random_number() {
  std::random_device device;  // of the kernel
  return uint64_t{device()} << 32 | device();
}

// The lock on the directory above keeps off what a draft has made and not yet locked.
void sweep_one(int parent, const std::string& name) {
  const UniqueFd directory = open_directory_at(parent, name);
  struct stat info{};
  if (!directory || fstat(directory.get(), &info) != 0 || info.st_uid != geteuid()) return;
  if (!lock(directory.get(), LOCK_EX | LOCK_NB)) return;
  // Until the lock was had, it could have become a snapshot.
  if (is_named(parent, name, directory.get())) remove_directory(parent, name, directory.get());
}

}  // namespace

std::string draft_name(std::string_view name) {
  const size_t room = kMaxNameBytes - 1 - kMark.size() - kDigits;
  return fmt::format(".{}{}{:016x}", name.substr(0, room), kMark, random_number());
}

bool is_draft_name(std::string_view name) {
  if (name.size() < 1 + kMark.size() + kDigits || name[0] != '.') return false;
  const std::string_view digits = name.substr(name.size() - kDigits);
  name.remove_suffix(kDigits);
  return name.ends_with(kMark) && std::all_of(digits.begin(), digits.end(), is_hex);
}

UniqueFd open_directory_at(int parent, const std::string& name) {
  return UniqueFd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool list_directory(int directory, std::vector<std::string>& names) {
  UniqueFd own(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* stream = own ? fdopendir(own.get()) : nullptr;
  if (stream == nullptr) return false;
  own.release();
  errno = 0;
  while (const dirent* entry = readdir(stream)) {  // NOLINT(concurrency-mt-unsafe): own stream
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  closedir(stream);
  errno = error;
  std::sort(names.begin(), names.end());
  return error == 0;
}

bool is_named(int parent, const std::string& name, int directory) {
  struct stat named{};
  struct stat held{};
  return fstatat(parent, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(directory, &held) == 0 && named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

bool lock(int fd, int operation) {
  int status = 0;
  do {
    status = flock(fd, operation);
  } while (status != 0 && errno == EINTR);
  return status == 0;
}

bool remove_directory(int parent, const std::string& name, int directory) {
  std::vector<std::string> names;
  if (!list_directory(directory, names)) return false;
  for (const std::string& file : names)
    if (unlinkat(directory, file.c_str(), 0) != 0 && errno != ENOENT) return false;
  return unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
}

Result<Place> place_of(const std::string& path) {
  std::string whole = path.empty() ? path : absolute_path(path);
  while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
  const size_t slash = whole.rfind('/');
  Place place;
  if (slash != std::string::npos) {
    place.parent = whole.substr(0, std::max<size_t>(slash, 1));
    place.name = whole.substr(slash + 1);
  }
  if (!place.name.empty() && place.name != "." && place.name != "..") return place;
  return Error(
      Code::kSnapshot,
      one_line(fmt::format("snapshot '{}': this names no directory of its own; give a path that "
                           "ends with the snapshot's name",
                           path)),
      "snapshot");
}

void sweep_snapshots(const std::string& directory) {
  const UniqueFd parent(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Shared locks are held by drafts whose directory a helper may just be making.
  if (!parent || !lock(parent.get(), LOCK_EX | LOCK_NB)) return;
  std::vector<std::string> names;
  if (!list_directory(parent.get(), names)) return;
  for (const std::string& name : names)
    if (is_draft_name(name)) sweep_one(parent.get(), name);
}

}  // namespace vmette::core
