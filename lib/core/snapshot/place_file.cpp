#include "core/snapshot/place_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::core {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;

Error failed(const std::string& source, const std::string& name, int error_number) {
  return {Code::kSnapshot,
          one_line(fmt::format("snapshot: '{}' cannot be put there as {}: {}{}", source, name,
                               errno_text(error_number),
                               error_number == ENOSPC || error_number == EDQUOT
                                   ? "; make room or choose another directory"
                                   : "")),
          "snapshot", error_number};
}

// errno, or 0.
int write_all(int fd, const char* bytes, size_t count) {
  while (count > 0) {
    const ssize_t written = write(fd, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes += written;
    count -= static_cast<size_t>(written);
  }
  return 0;
}

// errno, or 0; -1 when the caller gave up.
int copy_bytes(int from, int to, uint64_t total, const std::string& step,
               const Progress& progress) {
  std::vector<char> chunk(kChunkBytes);
  for (uint64_t done = 0;;) {
    if (progress && !progress(step, done, total)) return -1;
    const ssize_t count = read(from, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) return 0;
    if (const int error = write_all(to, chunk.data(), static_cast<size_t>(count)); error != 0)
      return error;
    done += static_cast<uint64_t>(count);
  }
}

}  // namespace

Result<void> place_file(const std::string& source, int directory, const std::string& name,
                        const Progress& progress) {
  const UniqueFd from(open(source.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat info{};
  if (!from || fstat(from.get(), &info) != 0) return failed(source, name, errno);
  if (!S_ISREG(info.st_mode)) return failed(source, name, EINVAL);
  if (linkat(AT_FDCWD, source.c_str(), directory, name.c_str(), AT_SYMLINK_FOLLOW) == 0)
    return success();
  if (errno == EEXIST) return failed(source, name, EEXIST);
  const UniqueFd to(
      openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!to) return failed(source, name, errno);
  int error = 0;
  if (ioctl(to.get(), FICLONE, from.get()) != 0)
    error = copy_bytes(from.get(), to.get(), static_cast<uint64_t>(info.st_size), "copy " + name,
                       progress);
  if (error == 0 && fsync(to.get()) != 0) error = errno;
  if (error == 0) return success();
  unlinkat(directory, name.c_str(), 0);
  if (error > 0) return failed(source, name, error);
  return Error(Code::kCancelled, "the caller's progress callback gave up", "snapshot");
}

}  // namespace vmette::core
