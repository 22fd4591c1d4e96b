#include "core/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>

namespace vmette::core {
namespace {

// Where the handler writes; -1 when no SignalPipe exists. Lock-free, so legal in a handler.
std::atomic<int> g_signal_fd{-1};
// Held by who is no handler and uses the descriptor, and while it goes.
std::mutex g_signal_mutex;

void on_signal(int number) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(number);
  [[maybe_unused]] const ssize_t written = write(g_signal_fd.load(), &byte, 1);
  errno = saved;
}

}  // namespace

RawMode::RawMode(int fd) : fd_(fd) {
  termios mode{};
  if (tcgetattr(fd, &mode) != 0) return;
  before_ = mode;
  cfmakeraw(&mode);
  tcsetattr(fd, TCSADRAIN, &mode);
}

void RawMode::restore() {
  if (before_) tcsetattr(fd_, TCSADRAIN, &*before_);
  before_.reset();
}

StandardStreams::StandardStreams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest number that is free, which this one is.
    filled_[fd].reset(open("/dev/null", O_RDWR | O_CLOEXEC));
  }
}

SignalPipe::SignalPipe() {
  int ends[2];
  if (pipe(ends) != 0) return;
  for (const int end : ends) {
    fcntl(end, F_SETFD, FD_CLOEXEC);
    fcntl(end, F_SETFL, O_NONBLOCK);
  }
  read_end_.reset(ends[0]);
  write_end_.reset(ends[1]);
  g_signal_fd.store(ends[1]);
  struct sigaction action{};
  action.sa_handler = on_signal;  // NOLINT: the union member is the interface
  // No SA_RESTART: a blocking write to the caller's stdout must let go.
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &before_[i]);
}

SignalPipe::~SignalPipe() {
  if (!valid()) return;
  for (size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  const std::lock_guard lock(g_signal_mutex);
  g_signal_fd.store(-1);
}

void pretend_signal(int number) {
  const std::lock_guard lock(g_signal_mutex);
  if (g_signal_fd.load() >= 0) on_signal(number);
}

int SignalPipe::take() {
  unsigned char byte = 0;
  return read(read_end_.get(), &byte, 1) == 1 ? byte : 0;
}

wire::WindowSize window_size(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return {};
  return {size.ws_row, size.ws_col};
}

}  // namespace vmette::core
