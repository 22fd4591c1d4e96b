#include "root_files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr size_t kLargestFile = size_t{64} << 20;
// A FIFO or a device in the place of a file must not hold the boot up.
constexpr int kCarefully = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

// Invalid with errno set.
UniqueFd open_regular(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) return {};
  if (S_ISREG(info.st_mode)) return UniqueFd(open(path.c_str(), O_RDONLY | kCarefully));
  errno = EINVAL;
  return {};
}

int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return 0;
}

// The file's last bytes, `count` at most.
std::string end_of(int fd, size_t count) {
  struct stat info{};
  if (fstat(fd, &info) != 0) return {};
  const auto size = static_cast<size_t>(info.st_size);
  std::string text(std::min(count, size), '\0');
  const ssize_t got = pread(fd, text.data(), text.size(), static_cast<off_t>(size - text.size()));
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

}  // namespace

RootFiles::RootFiles(bool copies, const char* place) : place_(place) {
  if (!copies) return;
  mkdir(place, 0755);
  if (mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") == 0)
    copies_.reset(open(place, O_PATH | O_DIRECTORY | O_CLOEXEC));
  else
    console(std::string("cannot mount ") + place + ": " + error_text(errno));
}

RootFiles::~RootFiles() {
  if (copies_) umount2(place_, MNT_DETACH);
}

int RootFiles::append(const std::string& path, std::string_view lines) {
  const UniqueFd old = open_regular(path);
  if (!old) return errno;
  const std::string end = end_of(old.get(), std::max<size_t>(lines.size(), 1));
  if (end == lines) return 0;
  std::string text = end.empty() || end.back() == '\n' ? "" : "\n";
  text += lines;
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_APPEND | kCarefully));
  if (file) return write_all(file.get(), text);
  if (errno != EROFS) return errno;
  auto whole = read_fd(old.get(), kLargestFile);
  return whole ? cover(path, old.get(), *whole + text) : errno;
}

int RootFiles::replace(const std::string& path, std::string_view content) {
  const UniqueFd old = open_regular(path);
  if (!old && errno != ENOENT) return errno;
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | kCarefully, 0644));
  if (file) return write_all(file.get(), content);
  return old && errno == EROFS ? cover(path, old.get(), content) : errno;
}

int RootFiles::cover(const std::string& path, int old, std::string_view content) {
  if (!copies_) return EROFS;
  std::string name = path;
  std::ranges::replace(name, '/', '-');
  struct stat info{};
  if (fstat(old, &info) != 0) return errno;
  const UniqueFd copy(
      openat(copies_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!copy) return errno;
  if (const int error = write_all(copy.get(), content); error != 0) return error;
  if (fchown(copy.get(), info.st_uid, info.st_gid) != 0 ||
      fchmod(copy.get(), info.st_mode & 0777) != 0)
    return errno;
  // No path leads out of this root to the copy, but the working directory does.
  if (fchdir(copies_.get()) != 0) return errno;
  const int error = mount(name.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0 ? 0 : errno;
  return chdir("/") == 0 ? error : errno;
}

std::optional<std::string> read_regular(const std::string& path) {
  const UniqueFd file = open_regular(path);
  if (!file) return std::nullopt;
  return read_fd(file.get(), kLargestFile);
}

}  // namespace vmette::agent
