#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace vmette::bench {

// The number that the first descriptor handed to a child has in it, where nothing else is said.
inline constexpr int kFirstChildFd = 10;

// A program of PATH with /dev/null as stdin. It is killed on destruction, and with the thread that
// made it. Ends this program with a message when there is no such program.
class ChildProcess {
 public:
  // The descriptors become `first`, first + 1 ...; nothing else is inherited but stdout and stderr.
  ChildProcess(const std::vector<std::string>& argv, const std::vector<int>& fds,
               int first = kFirstChildFd);
  ~ChildProcess();
  [[nodiscard]] pid_t pid() const { return pid_; }
  // The exit code, at its end; -1 when a signal ended it.
  int wait();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

 private:
  pid_t pid_ = -1;
};

}  // namespace vmette::bench
