#include "system.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace vmette::agent {

uint64_t uptime_us() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

std::optional<std::string> read_fd(int fd, size_t cap) {
  std::string text;
  char chunk[4096];
  while (true) {
    const ssize_t got = read(fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) return text;
    text.append(chunk, static_cast<size_t>(got));
    if (text.size() > cap) {
      errno = EFBIG;
      return std::nullopt;
    }
  }
}

std::optional<std::string> read_file(int directory, const char* path, size_t cap) {
  const UniqueFd file(openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return std::nullopt;
  return read_fd(file.get(), cap);
}

int write_file(int directory, const char* path, std::string_view text) {
  const UniqueFd file(openat(directory, path, O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!file) return errno;
  const ssize_t put = write(file.get(), text.data(), text.size());
  if (put < 0) return errno;
  return static_cast<size_t>(put) == text.size() ? 0 : EIO;
}

void console(std::string_view line) {
  std::string text = "vmette-agent: ";
  text.append(line).push_back('\n');
  // Nothing is left to tell anybody when the console itself does not work.
  [[maybe_unused]] const ssize_t put = write(STDERR_FILENO, text.data(), text.size());
}

void die(std::string_view why) {
  console(why);
  _exit(1);
}

std::string error_text(int error) {
  const char* text = strerrordesc_np(error);
  return text != nullptr ? text : "error " + std::to_string(error);
}

}  // namespace vmette::agent
