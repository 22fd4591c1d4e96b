#include "vmm/qemu/file_copy.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <vector>

#include "vmm/qemu/worker.h"

namespace vmette::vmm {
namespace {

constexpr size_t kPageBytes = 4096;
// How much is done between two looks at `cancelled`.
constexpr off_t kPieceBytes = off_t{4} << 20;
constexpr size_t kMemoryBytes = size_t{256} << 10;  // stays in a CPU's cache
constexpr int kLookMs = 50;
constexpr off_t kSyncBytes = off_t{32} << 20;

[[noreturn]] void fail_reading() {
  throw CopyError(errno, true);
}
[[noreturn]] void fail_writing() {
  throw CopyError(errno, false);
}

void check(const std::atomic<bool>& cancelled) {
  if (cancelled) throw Cancelled();
}

off_t size_of(int fd) {
  const off_t size = lseek(fd, 0, SEEK_END);
  if (size < 0) fail_reading();
  return size;
}

// Calls `piece` for each piece of a file that may hold something else than zeros.
void for_data(int fd, off_t size, const std::atomic<bool>& cancelled,
              const std::function<void(off_t begin, off_t end)>& piece) {
  for (off_t at = 0; at < size;) {
    const off_t begin = lseek(fd, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return;
    // A file system that knows no holes takes all for data.
    off_t end = begin < 0 ? size : lseek(fd, begin, SEEK_HOLE);
    if (begin < 0 && errno != EINVAL) fail_reading();
    if (end < 0) fail_reading();
    end = std::min(end, size);
    for (off_t from = std::max(begin, at); from < end; from += kPieceBytes) {
      check(cancelled);
      piece(from, std::min(from + kPieceBytes, end));
    }
    at = end;
  }
}

void write_at(int fd, const char* bytes, size_t count, off_t at) {
  while (count > 0) {
    const ssize_t done = pwrite(fd, bytes, count, at);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail_writing();
    bytes += done;
    at += done;
    count -= static_cast<size_t>(done);
  }
}

// Inside the kernel. False where that cannot be done between these two files.
bool copy_in_kernel(int from, int to, off_t begin, off_t end) {
  while (begin < end) {
    off_t out = begin;
    const ssize_t done =
        copy_file_range(from, &begin, to, &out, static_cast<size_t>(end - begin), 0);
    if (done > 0 || (done < 0 && errno == EINTR)) continue;
    if (done == 0) return true;  // the source has become shorter
    if (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS) return false;
    fail_writing();
  }
  return true;
}

void copy_by_hand(int from, int to, off_t begin, off_t end, std::vector<char>& buffer) {
  buffer.resize(static_cast<size_t>(kPieceBytes));
  while (begin < end) {
    const ssize_t count = pread(from, buffer.data(),
                                std::min(buffer.size(), static_cast<size_t>(end - begin)), begin);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_reading();
    if (count == 0) return;
    write_at(to, buffer.data(), static_cast<size_t>(count), begin);
    begin += count;
  }
}

bool is_zero(const char* page) {
  return page[0] == 0 && std::memcmp(page, page + 1, kPageBytes - 1) == 0;
}

// Calls `run` for each run of pages that are all zero, or all not.
void for_runs(const char* bytes, size_t count,
              const std::function<void(size_t begin, size_t end, bool zero)>& run) {
  for (size_t next = 0; next < count;) {
    const size_t first = next;
    const bool zero = is_zero(bytes + first);
    while (next < count && is_zero(bytes + next) == zero) next += kPageBytes;
    run(first, next, zero);
  }
}

// Calls `pages` for all data of a file whose size is a whole number of pages. Not mapped: reading a
// small buffer is faster than the page faults.
void for_pages(int fd, off_t size, const std::atomic<bool>& cancelled,
               const std::function<void(const char* bytes, size_t count, off_t at)>& pages) {
  std::vector<char> buffer(kMemoryBytes);
  for_data(fd, size, cancelled, [&](off_t begin, off_t end) {
    begin -= begin % static_cast<off_t>(kPageBytes);
    while (begin < end) {
      const auto wanted = std::min(static_cast<off_t>(buffer.size()), size - begin);
      const ssize_t count = pread(fd, buffer.data(), static_cast<size_t>(wanted), begin);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0 || count % static_cast<ssize_t>(kPageBytes) != 0) fail_reading();
      const off_t used = std::min(static_cast<off_t>(count), end - begin);
      pages(buffer.data(), static_cast<size_t>(used), begin);
      begin += used;
    }
  });
}

}  // namespace

bool CopyError::full() const {
  const int error = code().value();
  return !reading && (error == ENOSPC || error == EDQUOT || error == EFBIG);
}

void clone_file(int from, int to, const std::atomic<bool>& cancelled) {
  if (ioctl(to, FICLONE, from) == 0) return;
  const off_t size = size_of(from);
  if (ftruncate(to, size) != 0) fail_writing();
  bool in_kernel = true;
  std::vector<char> buffer;
  for_data(from, size, cancelled, [&](off_t begin, off_t end) {
    in_kernel = in_kernel && copy_in_kernel(from, to, begin, end);
    if (!in_kernel) copy_by_hand(from, to, begin, end, buffer);
  });
}

void copy_memory(int from, int to, const std::atomic<bool>& cancelled) {
  const off_t size = size_of(from);
  if (ftruncate(to, size) != 0) fail_writing();
  for_pages(from, size, cancelled, [to](const char* bytes, size_t count, off_t at) {
    for_runs(bytes, count, [&](size_t begin, size_t end, bool zero) {
      if (!zero) write_at(to, bytes + begin, end - begin, at + static_cast<off_t>(begin));
    });
  });
}

void punch_zeros(int fd, const std::atomic<bool>& cancelled) {
  for_pages(fd, size_of(fd), cancelled, [fd](const char* bytes, size_t count, off_t at) {
    for_runs(bytes, count, [&](size_t begin, size_t end, bool zero) {
      // What it cannot do only costs room.
      if (zero)
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at + static_cast<off_t>(begin),
                  static_cast<off_t>(end - begin));
    });
  });
}

void drain_pipe(int pipe, int to, const std::atomic<bool>& cancelled) {
  std::vector<char> buffer(size_t{1} << 20);
  off_t at = 0;
  pollfd item{pipe, POLLIN, 0};
  while (true) {
    check(cancelled);
    // A peer that says nothing must not keep this thread.
    if (poll(&item, 1, kLookMs) <= 0) continue;
    const ssize_t count = read(pipe, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_reading();
    if (count == 0) return;
    write_at(to, buffer.data(), static_cast<size_t>(count), at);
    at += count;
  }
}

void fill_pipe(int from, int pipe, const std::atomic<bool>& cancelled) {
  off_t at = 0;
  while (true) {
    check(cancelled);
    const ssize_t count = sendfile(pipe, from, &at, static_cast<size_t>(kPieceBytes));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0 || (count < 0 && errno == EPIPE)) return;
    if (count < 0) fail_reading();
  }
}

void sync_file(int fd, const std::atomic<bool>& cancelled) {
  const off_t size = size_of(fd);
  for (off_t at = 0; at < size; at += kSyncBytes) {
    check(cancelled);
    // Only so that each wait is short; what it cannot do is left to the line below.
    sync_file_range(
        fd, at, kSyncBytes,
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }
  check(cancelled);
  if (fsync(fd) != 0) fail_writing();
}

}  // namespace vmette::vmm
