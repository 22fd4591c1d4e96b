#include "core/log.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>

#include "core/error.h"
#include "core/sigpipe.h"

namespace vmette::core {
namespace {

// One write of up to PIPE_BUF bytes is whole, and a pipe that polls writable takes it.
constexpr size_t kLongestEntry = 1024;

// Descriptor and level in one word, so that a reader never sees halves of two settings.
std::atomic<uint64_t> g_log{uint64_t{UINT32_MAX} << 32};

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kInfo:
      return "info";
    default:
      return "debug";
  }
}

}  // namespace

void set_log(int fd, LogLevel level) {
  const auto wanted = fd < 0 ? LogLevel::kOff : level;
  g_log.store(uint64_t{static_cast<uint32_t>(fd)} << 32 | static_cast<uint32_t>(wanted));
}

bool log_enabled(LogLevel level) {
  return static_cast<uint32_t>(level) <= static_cast<uint32_t>(g_log.load());
}

void log(LogLevel level, uint64_t session, std::string_view text) {
  if (!log_enabled(level)) return;
  const int fd = static_cast<int>(g_log.load() >> 32);
  pollfd item{fd, POLLOUT, 0};
  if (poll(&item, 1, 0) != 1 || (item.revents & POLLOUT) == 0) return;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  std::string line = fmt::format("{} {} session {}: {}",
                                 std::chrono::duration_cast<std::chrono::milliseconds>(now).count(),
                                 name_of(level), session, one_line(std::string(text)));
  line.resize(std::min(line.size(), kLongestEntry));
  line += '\n';
  // The reader may be gone, and this may be a thread of the host program's.
  const NoSigpipe no_sigpipe;
  [[maybe_unused]] const ssize_t written = write(fd, line.data(), line.size());
}

}  // namespace vmette::core
