#include "core/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>

#include "base/unique_fd.h"
#include "support/catch.h"

using vmette::UniqueFd;
using vmette::core::RawMode;
using vmette::core::SignalPipe;
using vmette::core::window_size;

namespace {

struct Pty {
  UniqueFd master;
  UniqueFd slave;

  explicit Pty(unsigned short rows = 24, unsigned short cols = 80) {
    winsize size{};
    size.ws_row = rows;
    size.ws_col = cols;
    int fds[2] = {-1, -1};
    REQUIRE(openpty(&fds[0], &fds[1], nullptr, nullptr, &size) == 0);
    master.reset(fds[0]);
    slave.reset(fds[1]);
  }

  [[nodiscard]] termios mode() const {
    termios settings{};
    REQUIRE(tcgetattr(slave.get(), &settings) == 0);
    return settings;
  }
};

bool same(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

int g_own_signals = 0;

void own_handler(int /*number*/, siginfo_t* /*info*/, void* /*context*/) {
  ++g_own_signals;
}

struct sigaction handler_of(int number) {
  struct sigaction action{};
  REQUIRE(sigaction(number, nullptr, &action) == 0);
  return action;
}

bool blocked(int number) {
  sigset_t mask;
  REQUIRE(pthread_sigmask(SIG_SETMASK, nullptr, &mask) == 0);
  return sigismember(&mask, number) == 1;
}

bool readable(int fd) {
  pollfd item{fd, POLLIN, 0};
  return poll(&item, 1, 0) == 1;
}

// Installs a handler for one scope.
class Handler {
 public:
  Handler(int number, const struct sigaction& action) : number_(number) {
    REQUIRE(sigaction(number, &action, &before_) == 0);
  }
  ~Handler() { sigaction(number_, &before_, nullptr); }
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

 private:
  int number_;
  struct sigaction before_{};
};

}  // namespace

TEST_CASE("a terminal is raw while RawMode lives and as before afterwards") {
  const Pty pty;
  const termios before = pty.mode();
  REQUIRE((before.c_lflag & (ICANON | ECHO | ISIG)) != 0);
  {
    RawMode raw(pty.slave.get());
    CHECK((pty.mode().c_lflag & (ICANON | ECHO | ISIG)) == 0);
    CHECK((pty.mode().c_oflag & OPOST) == 0);
    raw.restore();
    CHECK(same(pty.mode(), before));
    // A second restore does not undo what the owner changed meanwhile.
    termios changed = before;
    changed.c_lflag ^= ECHO;
    REQUIRE(tcsetattr(pty.slave.get(), TCSANOW, &changed) == 0);
    raw.restore();
    CHECK(same(pty.mode(), changed));
    REQUIRE(tcsetattr(pty.slave.get(), TCSANOW, &before) == 0);
  }
  CHECK(same(pty.mode(), before));
  {
    const RawMode raw(pty.slave.get());
  }
  CHECK(same(pty.mode(), before));
}

TEST_CASE("RawMode leaves what is no terminal alone") {
  int fds[2];
  REQUIRE(pipe(fds) == 0);
  const UniqueFd in(fds[0]);
  const UniqueFd out(fds[1]);
  {
    const RawMode raw(in.get());
  }
  {
    const RawMode none(-1);
  }
  CHECK(fcntl(in.get(), F_GETFL) >= 0);
}

TEST_CASE("the window size is the terminal's, and 24 by 80 for everything else") {
  const Pty pty(50, 132);
  CHECK(window_size(pty.slave.get()).rows == 50);
  CHECK(window_size(pty.slave.get()).cols == 132);
  const Pty unset(0, 0);
  CHECK(window_size(unset.slave.get()).rows == 24);
  CHECK(window_size(-1).cols == 80);
}

TEST_CASE("signals become bytes in their order while a SignalPipe lives") {
  SignalPipe signals;
  REQUIRE(signals.valid());
  CHECK_FALSE(readable(signals.fd()));
  CHECK(signals.take() == 0);
  raise(SIGTERM);
  raise(SIGHUP);
  raise(SIGINT);
  raise(SIGWINCH);
  CHECK(readable(signals.fd()));
  CHECK(signals.take() == SIGTERM);
  CHECK(signals.take() == SIGHUP);
  CHECK(signals.take() == SIGINT);
  CHECK(signals.take() == SIGWINCH);
  CHECK(signals.take() == 0);
}

TEST_CASE("the earlier handlers, their flags and masks come back") {
  struct sigaction own{};
  own.sa_sigaction = own_handler;
  own.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&own.sa_mask);
  sigaddset(&own.sa_mask, SIGUSR1);
  const Handler handler(SIGINT, own);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  const Handler ignored(SIGHUP, ignore);
  const auto term = handler_of(SIGTERM).sa_handler;
  {
    const SignalPipe signals;
    CHECK(handler_of(SIGINT).sa_sigaction != own_handler);
    CHECK(handler_of(SIGHUP).sa_handler != SIG_IGN);
  }
  const struct sigaction after = handler_of(SIGINT);
  CHECK(after.sa_sigaction == own_handler);
  CHECK((after.sa_flags & (SA_SIGINFO | SA_RESTART)) == (SA_SIGINFO | SA_RESTART));
  CHECK(sigismember(&after.sa_mask, SIGUSR1) == 1);
  CHECK(handler_of(SIGHUP).sa_handler == SIG_IGN);
  CHECK(handler_of(SIGTERM).sa_handler == term);
  CHECK(handler_of(SIGWINCH).sa_handler == SIG_DFL);
  const int count = g_own_signals;
  raise(SIGINT);
  CHECK(g_own_signals == count + 1);
}

TEST_CASE("SIGPIPE is blocked meanwhile and never delivered afterwards") {
  CHECK_FALSE(blocked(SIGPIPE));
  {
    const SignalPipe signals;
    CHECK(blocked(SIGPIPE));
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    close(fds[0]);
    CHECK(write(fds[1], "x", 1) == -1);
    CHECK(errno == EPIPE);
    close(fds[1]);
  }
  // Still here, so the pending one was dropped.
  CHECK_FALSE(blocked(SIGPIPE));
}

TEST_CASE("a caller that blocks SIGPIPE itself finds it blocked") {
  sigset_t only;
  sigset_t before;
  sigemptyset(&only);
  sigaddset(&only, SIGPIPE);
  REQUIRE(pthread_sigmask(SIG_BLOCK, &only, &before) == 0);
  {
    const SignalPipe signals;
  }
  CHECK(blocked(SIGPIPE));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("a flood of signals neither blocks nor loses the first") {
  SignalPipe signals;
  raise(SIGTERM);
  for (int i = 0; i < 100'000; ++i) raise(SIGWINCH);
  CHECK(signals.take() == SIGTERM);
  CHECK(signals.take() == SIGWINCH);
}
