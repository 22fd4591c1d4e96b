#include "spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <vector>

namespace vmette::agent {
namespace {

// What select() can handle; the hard limit is inherited.
constexpr rlim_t kOpenFiles = 1024;

// Lives in memory that agent and child share. The child must not allocate, take a lock or touch
// anything else of the agent's.
struct Child {
  const SpawnRequest* request;
  std::vector<const char*> argv;
  std::vector<const char*> env;
  std::vector<const char*> candidates;
  SpawnStage stage = SpawnStage::kNone;
  int error = 0;
};

alignas(16) char child_stack[64 * 1024];

[[noreturn]] void fail(Child& child, SpawnStage stage, int error) {
  child.stage = stage;
  child.error = error;
  _exit(127);
}

void set_up_process(Child& child) {
  const SpawnRequest& request = *child.request;
  if (setsid() < 0) fail(child, SpawnStage::kProcess, errno);
  for (int i = 0; i < 3; ++i)
    if (dup2(request.fds[i], i) < 0) fail(child, SpawnStage::kProcess, errno);
  if (request.terminal && ioctl(0, TIOCSCTTY, 0) != 0) fail(child, SpawnStage::kTerminal, errno);
  if (request.root >= 0 && (fchdir(request.root) != 0 || chroot(".") != 0))
    fail(child, SpawnStage::kProcess, errno);
  if (syscall(SYS_close_range, 3, ~0U, 0) != 0) fail(child, SpawnStage::kProcess, errno);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) fail(child, SpawnStage::kProcess, errno);
  files.rlim_cur = kOpenFiles < files.rlim_max ? kOpenFiles : files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) fail(child, SpawnStage::kProcess, errno);
  umask(022);
}

// Raw calls: the C library's versions want to tell its other threads.
void become_user(Child& child) {
  if (child.request->account == nullptr) return;
  const Account& account = *child.request->account;
  if (syscall(SYS_setgroups, account.groups.size(), account.groups.data()) != 0 ||
      syscall(SYS_setresgid, account.gid, account.gid, account.gid) != 0 ||
      syscall(SYS_setresuid, account.uid, account.uid, account.uid) != 0)
    fail(child, SpawnStage::kUser, errno);
}

void reset_signals() {
  signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Like execvp: a candidate that may not be run is reported only if no later one can be.
int run_program(const Child& child) {
  int worst = ENOENT;
  auto* argv = const_cast<char* const*>(child.argv.data());
  auto* env = const_cast<char* const*>(child.env.data());
  for (const char* path : child.candidates) {
    execve(path, argv, env);
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    if (errno == EACCES) {
      worst = EACCES;
    } else if (!missing || child.candidates.size() == 1) {
      return errno;
    }
  }
  return worst;
}

extern "C" [[noreturn]] void vmette_child_main(void* argument) {
  Child& child = *static_cast<Child*>(argument);
  set_up_process(child);
  become_user(child);
  const char* cwd = child.request->cwd;
  if (cwd != nullptr && chdir(cwd) != 0) fail(child, SpawnStage::kCwd, errno);
  reset_signals();
  fail(child, SpawnStage::kExec, run_program(child));
}

// clone3 with a stack of the child's own. There is no library function for it, and on the caller's
// stack the child would overwrite the frame that the agent returns through.
long clone_process(const clone_args& args, Child& child) {
  void (*entry)(void*) = vmette_child_main;
#if defined(__x86_64__)
  long result = SYS_clone3;
  register void* argument asm("r8") = &child;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "mov %%r8, %%rdi\n\t"
      "call *%%rdx\n\t"
      "ud2\n"
      "1:"
      : "+a"(result)
      : "D"(&args), "S"(sizeof args), "d"(entry), "r"(argument)
      : "rcx", "r11", "memory", "cc");
  return result;
#elif defined(__aarch64__)
  register long result asm("x0") = reinterpret_cast<long>(&args);
  register size_t size asm("x1") = sizeof args;
  register void* argument asm("x9") = &child;
  register void (*program)(void*) asm("x10") = entry;
  register long call asm("x8") = SYS_clone3;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x0, x9\n\t"
      "blr x10\n\t"
      "brk #1\n"
      "1:"
      : "+r"(result)
      : "r"(size), "r"(argument), "r"(program), "r"(call)
      : "memory", "cc");
  return result;
#else
#error "no process start for this architecture"
#endif
}

std::vector<const char*> pointers(const std::vector<std::string>& strings) {
  std::vector<const char*> list;
  list.reserve(strings.size() + 1);
  for (const std::string& text : strings) list.push_back(text.c_str());
  return list;
}

}  // namespace

SpawnResult spawn(const SpawnRequest& request) {
  Child child{&request, pointers(request.launch->argv), pointers(request.launch->env),
              pointers(request.launch->candidates)};
  child.argv.push_back(nullptr);
  child.env.push_back(nullptr);
  clone_args args{};
  args.flags = CLONE_VM | CLONE_VFORK;
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uintptr_t>(child_stack);
  args.stack_size = sizeof child_stack;
  if (request.cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(request.cgroup);
  }
  const long pid = clone_process(args, child);
  if (pid < 0) return {-1, SpawnStage::kFork, static_cast<int>(-pid)};
  if (child.stage == SpawnStage::kNone) return {static_cast<pid_t>(pid), SpawnStage::kNone, 0};
  while (waitpid(static_cast<pid_t>(pid), nullptr, 0) < 0 && errno == EINTR) {
  }
  return {-1, child.stage, child.error};
}

}  // namespace vmette::agent
