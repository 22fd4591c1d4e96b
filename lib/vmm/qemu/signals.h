#pragma once

#include <optional>

namespace vmette::vmm {

// Turns SIGCHLD and SIGTERM into bytes on a pipe that the event loop polls, and ignores what a
// terminal, a closed pipe or a full file would send: this process ends when its machine's owner
// does, not when somebody presses Ctrl-C. Once per process.
class Signals {
 public:
  Signals();

  [[nodiscard]] int fd() const;
  // The next signal that came in, if any.
  [[nodiscard]] std::optional<int> next() const;
};

}  // namespace vmette::vmm
