// What run() borrows from the process while it lasts: the terminal's mode, three signals, and the
// standard streams that nobody has.
#pragma once

#include <termios.h>

#include <csignal>
#include <optional>

#include "base/unique_fd.h"
#include "core/sigpipe.h"
#include "wire/messages.h"

namespace vmette::core {

// Puts the terminal on `fd` into raw mode and back on destruction. Does nothing for what is no
// terminal.
class RawMode {
 public:
  explicit RawMode(int fd);
  ~RawMode() { restore(); }
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  void restore();

 private:
  int fd_;
  std::optional<termios> before_;
};

// Fills the numbers of the standard streams that the process has closed, so that no descriptor
// opened meanwhile gets one of them and is taken for the caller's stream: input is at its end,
// output is dropped. Closes them again on destruction.
class StandardStreams {
 public:
  StandardStreams();

 private:
  UniqueFd filled_[3];
};

// Turns SIGINT, SIGTERM, SIGHUP and SIGWINCH into bytes on a pipe, and puts the earlier handlers
// back on destruction. SIGPIPE is blocked in the calling thread meanwhile: a closed stdout is a
// result, not a reason to die. One at a time in a process.
class SignalPipe {
 public:
  SignalPipe();
  ~SignalPipe();
  SignalPipe(const SignalPipe&) = delete;
  SignalPipe& operator=(const SignalPipe&) = delete;

  [[nodiscard]] bool valid() const { return read_end_.valid(); }
  [[nodiscard]] int fd() const { return read_end_.get(); }
  // The next signal that came, 0 when there is none.
  int take();

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};

  UniqueFd read_end_;
  UniqueFd write_end_;
  struct sigaction before_[4]{};
  NoSigpipe no_sigpipe_;  // until the earlier handlers are back
};

// As if the signal had come, while there is a SignalPipe. Any thread.
void pretend_signal(int number);

// The size of the terminal on `fd`.
wire::WindowSize window_size(int fd);

}  // namespace vmette::core
