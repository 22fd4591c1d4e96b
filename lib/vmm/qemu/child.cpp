#include "vmm/qemu/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include "base/close_from.h"

namespace vmette::vmm {
namespace {

// What a child tells its parent when the program does not start. The text is at the same address in
// both.
struct Report {
  int error = 0;
  const char* what = nullptr;  // nullptr: the program itself
};

[[noreturn]] void fail(int fd, const char* what = nullptr) {
  const Report report{errno, what};
  const ssize_t ignored = write(fd, &report, sizeof report);
  _exit(ignored == sizeof report ? 127 : 126);
}

void reset_signals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

// Moves the descriptors to 0, 1, 2, 3 ... and leaves nothing else open but `report`.
void place_fds(const ChildPlan& plan, int& report) {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  std::vector<int> wanted = {null, plan.out >= 0 ? plan.out : null, plan.err};
  if (plan.err < 0) wanted[2] = wanted[1];
  wanted.insert(wanted.end(), plan.fds.begin(), plan.fds.end());
  const int above = static_cast<int>(wanted.size());

  // First out of the way, so that no dup2 hits one that is still needed.
  for (int& fd : wanted) {
    fd = fcntl(fd, F_DUPFD_CLOEXEC, above + 1);
    if (fd < 0) fail(report);
  }
  const int moved = fcntl(report, F_DUPFD_CLOEXEC, above + 1);
  if (moved < 0) fail(report);
  report = moved;
  for (int i = 0; i < above; ++i)
    if (dup2(wanted[static_cast<size_t>(i)], i) < 0) fail(report);
  if (dup3(report, above, O_CLOEXEC) < 0) fail(report);
  report = above;
  close_from(above + 1);
}

[[noreturn]] void run_child(const ChildPlan& plan, char* const* argv, char* const* env,
                            pid_t parent, int report) {
  setsid();
  // A setuid program would shed the death signal.
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) fail(report);
  // The parent may have died before the line above.
  if (getppid() != parent) _exit(126);
  // A core file would hold the guest's memory.
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (plan.before_exec)
    if (const char* problem = plan.before_exec()) fail(report, problem);
  place_fds(plan, report);
  reset_signals();
  execve(argv[0], argv, env);
  fail(report);
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Child::Child(const ChildPlan& plan) {
  std::array<int, 2> raw{};
  if (pipe2(raw.data(), O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe");
  const UniqueFd reader(raw[0]);
  UniqueFd writer(raw[1]);

  const std::vector<char*> argv = pointers(plan.argv);
  const std::vector<char*> env = pointers(plan.env);
  const pid_t parent = getpid();
  // No handler of ours may run in the child.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_ = fork();
  const int fork_error = errno;
  if (pid_ == 0) run_child(plan, argv.data(), env.data(), parent, writer.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid_ < 0) throw std::system_error(fork_error, std::generic_category(), "fork");

  writer.reset();
  Report report;
  ssize_t count = 0;
  do {
    count = read(reader.get(), &report, sizeof report);
  } while (count < 0 && errno == EINTR);
  if (count != sizeof report) return;
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  throw std::system_error(report.error, std::generic_category(),
                          report.what != nullptr ? report.what : plan.argv[0]);
}

Child::~Child() {
  if (!running()) return;
  kill();
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
}

void Child::kill() {
  if (running()) ::kill(pid_, SIGKILL);
}

std::optional<int> Child::reap() {
  if (!running()) return status_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
  return status_;
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    const char* name = strsignal(number);  // NOLINT(concurrency-mt-unsafe): one thread
    return fmt::format("was killed by signal {} ({})", number, name != nullptr ? name : "unknown");
  }
  return fmt::format("exited with status {}", WEXITSTATUS(status));
}

}  // namespace vmette::vmm
