#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::vmm {

struct ChildPlan {
  std::vector<std::string> argv;  // argv[0] is the program's path
  std::vector<std::string> env;   // all of it, NAME=VALUE
  int out = -1;                   // becomes stdout and, unless `err` is set, stderr; -1: /dev/null
  int err = -1;
  std::vector<int> fds;  // become 3, 4, 5 ...; nothing else is inherited
  // Runs in the child just before the program; returns nullptr, or what it could not do (a string
  // that lives for ever) with errno set.
  std::function<const char*()> before_exec;
};

// A process that dies with its parent. stdin is /dev/null; signals have their default actions; it
// leads its own session, so that a terminal's signals do not reach it. For a single-threaded
// parent only: the kernel binds PR_SET_PDEATHSIG to the thread that forked.
class Child {
 public:
  Child() = default;
  // Throws std::system_error when the program cannot be started; its text says why.
  explicit Child(const ChildPlan& plan);
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  // Kills what still runs and waits for it.
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const { return pid_ > 0 && !status_; }
  void kill();
  // The wait status once the process has ended; never blocks.
  std::optional<int> reap();

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

// "exited with status 1", "was killed by signal 9 (Killed)".
std::string describe_status(int status);

}  // namespace vmette::vmm
