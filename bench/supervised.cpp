#include "supervised.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <thread>

#include "raw_machine.h"

namespace vmette::bench {
namespace {

constexpr int kRemoveTries = 50;

[[noreturn]] void run_child(pid_t parent, const sigset_t& mask,
                            const std::function<void(const std::filesystem::path&)>& work,
                            const std::filesystem::path& directory) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  work(directory);
  std::exit(0);
}

// A machine that was just killed may still write for a moment.
void remove(const std::filesystem::path& directory) {
  for (int i = 0; i < kRemoveTries; ++i) {
    std::error_code error;
    std::filesystem::remove_all(directory, error);
    if (!error) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace

int supervised(const std::filesystem::path& parent_directory,
               const std::function<void(const std::filesystem::path&)>& work) {
  std::string name = (parent_directory / "vmette-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) die("cannot make " + name);
  sigset_t waited;
  sigset_t before;
  sigemptyset(&waited);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT, SIGHUP}) sigaddset(&waited, number);
  sigprocmask(SIG_BLOCK, &waited, &before);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) run_child(parent, before, work, name);
  int status = 1 << 8;
  while (child > 0 && waitpid(child, &status, WNOHANG) == 0) {
    int number = 0;
    sigwait(&waited, &number);
    if (number != SIGCHLD) kill(child, SIGKILL);
  }
  remove(name);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace vmette::bench
