#include "child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/close_from.h"
#include "raw_machine.h"

namespace vmette::bench {
namespace {

[[noreturn]] void run_child(pid_t parent, char* const* argv, const std::vector<int>& fds,
                            int first) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  const int above = first + static_cast<int>(fds.size());
  // First all out of the way, so that no dup2 hits one that is still needed.
  int moved[8];
  for (size_t i = 0; i < fds.size(); ++i) moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, above);
  for (size_t i = 0; i < fds.size(); ++i) dup2(moved[i], first + static_cast<int>(i));
  dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
  for (int fd = STDERR_FILENO + 1; fd < first; ++fd) close(fd);
  close_from(above);
  execvp(argv[0], argv);
  _exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& words, const std::vector<int>& fds,
                           int first) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  if (fds.size() > 8) die("too many descriptors");
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) run_child(parent, argv.data(), fds, first);
  if (pid_ < 0) die(fmt::format("cannot start {}", words[0]));
}

ChildProcess::~ChildProcess() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

int ChildProcess::wait() {
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) die("a child is lost");
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace vmette::bench
