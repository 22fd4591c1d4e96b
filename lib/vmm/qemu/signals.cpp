#include "vmm/qemu/signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>

namespace vmette::vmm {
namespace {

std::array<int, 2> pipe_ends = {-1, -1};

void on_signal(int number) {
  const int saved = errno;
  const auto byte = static_cast<uint8_t>(number);
  // A full pipe loses nothing: the loop wakes anyway and reaps whatever has ended.
  [[maybe_unused]] const ssize_t ignored = write(pipe_ends[1], &byte, 1);
  errno = saved;
}

}  // namespace

Signals::Signals() {
  if (pipe2(pipe_ends.data(), O_CLOEXEC | O_NONBLOCK) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe");
  struct sigaction action{};
  action.sa_handler = SIG_IGN;
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ})
    sigaction(number, &action, nullptr);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  for (const int number : {SIGCHLD, SIGTERM}) sigaction(number, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

int Signals::fd() const {
  return pipe_ends[0];
}

std::optional<int> Signals::next() const {
  uint8_t byte = 0;
  if (read(pipe_ends[0], &byte, 1) != 1) return std::nullopt;
  return byte;
}

}  // namespace vmette::vmm
