#include "terminal.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

namespace vmette::agent {
namespace {

constexpr gid_t kTtyGroup = 5;

int open_multiplexer(int root) {
  open_how how{};
  how.flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  return static_cast<int>(syscall(SYS_openat2, root, "/dev/pts/ptmx", &how, sizeof how));
}

}  // namespace

Terminal open_terminal(int root, uid_t uid, const wire::WindowSize& size) {
  Terminal terminal;
  terminal.master.reset(open_multiplexer(root));
  const int master = terminal.master.get();
  int locked = 0;
  if (!terminal.master || ioctl(master, TIOCSPTLCK, &locked) != 0) {
    terminal.error = errno;
    return terminal;
  }
  terminal.slave.reset(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave || fchown(terminal.slave.get(), uid, kTtyGroup) != 0) {
    terminal.error = errno;
    return terminal;
  }
  resize_terminal(master, size);
  return terminal;
}

int set_terminal_modes(int slave, bool echo, bool raw) {
  if (echo && !raw) return 0;
  termios modes{};
  if (tcgetattr(slave, &modes) != 0) return errno;
  if (raw) cfmakeraw(&modes);  // which echoes nothing
  modes.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  if (echo) modes.c_lflag |= ECHO;
  return tcsetattr(slave, TCSANOW, &modes) == 0 ? 0 : errno;
}

void resize_terminal(int master, const wire::WindowSize& size) {
  winsize window{};
  window.ws_row = size.rows;
  window.ws_col = size.cols;
  ioctl(master, TIOCSWINSZ, &window);
}

pid_t foreground_group(int master) {
  pid_t group = 0;
  return ioctl(master, TIOCGPGRP, &group) == 0 && group > 0 ? group : 0;
}

}  // namespace vmette::agent
