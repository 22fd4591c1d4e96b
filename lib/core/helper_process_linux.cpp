#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "core/helper_process.h"

namespace vmette::core {
namespace {

constexpr int kHelperSocket = 3;
constexpr size_t kChildStack = size_t{64} * 1024;

struct Child {
  const char* program;
  char* const* argv;
  char* const* envp;
  int socket;
  int null;
  void* stack;
  // Written by the new processes, read by the parent after the exec.
  pid_t pid = -1;
  int pidfd = -1;
  int clone_error = 0;
  int failure = 0;  // errno of what came before the exec, or of the exec
};

#if defined(__clang__)
#define VMETTE_NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define VMETTE_NO_SANITIZE __attribute__((no_sanitize("address"), no_sanitize("thread")))
#endif

// ThreadSanitizer replaces clone() by one that takes every new process for one with memory of its
// own; glibc's own name for it is left alone.
#if defined(__SANITIZE_THREAD__)
#define VMETTE_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VMETTE_UNDER_TSAN 1
#endif
#endif
#ifdef VMETTE_UNDER_TSAN
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);
constexpr auto& start_process = __clone;
#else
constexpr auto& start_process = clone;
#endif

// The kernel's own struct, of which all zeros means the default action.
struct DefaultAction {
  unsigned long words[4] = {0, 0, 0, 0};
};

// Runs on the parent's memory while the parent stands still: no allocation, no library state, and
// raw system calls where a sanitizer would otherwise keep books.
VMETTE_NO_SANITIZE int child_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  const DefaultAction action;
  for (int number = 1; number < NSIG; ++number)
    if (number != SIGKILL && number != SIGSTOP)
      syscall(SYS_rt_sigaction, number, &action, nullptr, sizeof(unsigned long));
  syscall(SYS_setsid);
  bool ok = true;
  // The socket first moves out of the way of 0 to 3.
  const long socket = syscall(SYS_fcntl, child->socket, F_DUPFD_CLOEXEC, 10);
  const long null = syscall(SYS_fcntl, child->null, F_DUPFD_CLOEXEC, 10);
  ok = socket >= 0 && null >= 0;
  for (int fd = 0; ok && fd < 3; ++fd) ok = syscall(SYS_dup3, null, fd, 0) >= 0;
  ok = ok && syscall(SYS_dup3, socket, kHelperSocket, 0) >= 0;
  if (ok) {
    // CLOEXEC rather than close, so that a failing exec can still be told.
    syscall(SYS_close_range, kHelperSocket + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    unsigned long empty = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &empty, nullptr, sizeof empty);
    syscall(SYS_execve, child->program, child->argv, child->envp);
  }
  child->failure = errno;
  syscall(SYS_exit, 127);
  return 127;
}

// Starts the helper and ends. An exec turns every child into one that sends SIGCHLD and that
// wait(-1) returns, whatever it was cloned with; so the helper has to be somebody else's child.
VMETTE_NO_SANITIZE int between_main(void* argument) {
  auto* child = static_cast<Child*>(argument);
  child->pid = start_process(child_main, child->stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD, child,
                             &child->pidfd);
  if (child->pid < 0) child->clone_error = errno;
  syscall(SYS_exit, 0);
  return 0;
}

class ChildStack {
 public:
  ChildStack()
      : base_(mmap(nullptr, kChildStack, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {}
  ~ChildStack() {
    if (valid()) munmap(base_, kChildStack);
  }
  ChildStack(const ChildStack&) = delete;
  ChildStack& operator=(const ChildStack&) = delete;
  [[nodiscard]] bool valid() const { return base_ != MAP_FAILED; }
  [[nodiscard]] void* top() const { return static_cast<char*>(base_) + kChildStack; }

 private:
  void* base_;
};

bool has_ended(int pidfd) {
  pollfd item{pidfd, POLLIN, 0};
  return poll(&item, 1, 0) == 1;
}

}  // namespace

Result<HelperProcess> spawn_helper(const std::string& program,
                                   const std::vector<std::string>& arguments) {
  int ends[2];
  HelperProcess helper;
  {
    const ForkGate gate;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return os_error("helper: no socket for it", errno, "helper");
    helper.mark = FdMark(gate, ends[0]);
  }
  helper.socket.reset(ends[0]);
  const UniqueFd child_socket(ends[1]);
  fcntl(helper.socket.get(), F_SETFL, O_NONBLOCK);
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const ChildStack stack;
  const ChildStack between_stack;
  if (!null || !stack.valid() || !between_stack.valid())
    return os_error("helper: no resources for it", errno, "helper");

  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  Child child{program.c_str(), argv.data(), environ, child_socket.get(), null.get(), stack.top()};
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // Exit signal 0: no SIGCHLD for the host program, and its wait(-1) passes this one over. It
  // shares the descriptors, so that the helper's pidfd is ours.
  const pid_t between = start_process(between_main, between_stack.top(),
                                      CLONE_VM | CLONE_VFORK | CLONE_FILES, &child);
  const int clone_error = between < 0 ? errno : child.clone_error;
  siginfo_t info{};
  if (between > 0)
    while (waitid(P_PID, static_cast<id_t>(between), &info, WEXITED | __WALL) != 0 &&
           errno == EINTR) {
    }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (between < 0 || child.pid < 0)
    return os_error("helper: no process for it", clone_error, "helper");
  helper.pid = child.pid;
  helper.pidfd.reset(child.pidfd);
  if (child.failure != 0) {
    waitid(P_PIDFD, static_cast<id_t>(child.pidfd), &info, WEXITED | __WALL);
    return os_error(fmt::format("helper: '{}' could not be started", program), child.failure,
                    "helper");
  }
  return helper;
}

std::string reap_helper(const HelperProcess& helper) {
  siginfo_t info{};
  const int status =
      waitid(P_PIDFD, static_cast<id_t>(helper.pidfd.get()), &info, WEXITED | WNOHANG | __WALL);
  // As a rule it is somebody else's child, and its pidfd tells the end without the reason.
  if (status != 0) return has_ended(helper.pidfd.get()) ? "ended" : std::string();
  if (info.si_pid == 0) return {};
  return info.si_code == CLD_EXITED ? fmt::format("exited with status {}", info.si_status)
                                    : fmt::format("was killed by signal {}", info.si_status);
}

void kill_helper(const HelperProcess& helper) {
  syscall(SYS_pidfd_send_signal, helper.pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace vmette::core
