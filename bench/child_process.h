#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace vmette::bench {

// The number that the first descriptor handed to a child has in it.
inline constexpr int kFirstChildFd = 10;

// A program of PATH with /dev/null as stdin. It is killed on destruction, and with the thread that
// made it. Ends this program with a message when there is no such program.
class ChildProcess {
 public:
  // The descriptors become 10, 11, 12 ...; nothing else is inherited but stdout and stderr.
  ChildProcess(const std::vector<std::string>& argv, const std::vector<int>& fds);
  ~ChildProcess();
  // The exit code, at its end; -1 when a signal ended it.
  int wait();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

 private:
  pid_t pid_ = -1;
};

}  // namespace vmette::bench
