// A host program with habits: SIGCHLD and SIGINT handlers of its own, children that it collects
// with waitpid(-1), threads that compute. It runs machines meanwhile and then says what it saw.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <set>
#include <thread>
#include <vector>
#include <vmette.hpp>

namespace {

std::atomic<int> g_interrupts = 0;
std::atomic<int> g_child_signals = 0;
// Children by pid, in a form that a handler may touch.
constexpr int kMostChildren = 4096;
std::atomic<pid_t> g_collected[kMostChildren];
std::atomic<int> g_collected_count = 0;

void on_interrupt(int /*number*/) {
  ++g_interrupts;
}

void on_child(int /*number*/) {
  const int saved = errno;
  ++g_child_signals;
  for (pid_t pid = 0; (pid = waitpid(-1, nullptr, WNOHANG)) > 0;) {
    const int at = g_collected_count++;
    if (at < kMostChildren) g_collected[at] = pid;
  }
  errno = saved;
}

bool still_installed(int number, void (*handler)(int)) {
  struct sigaction action{};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == handler;
}

bool run_one_machine() {
  vmette::Config config;
  config.set_exec("echo hi").set_capture_output(true);
  auto session = vmette::Session::create(config);
  if (!session || !session.value().start() || !session.value().wait()) return false;
  const auto output = session.value().output();
  return output && output.value().stdout_text() == "hi\n";
}

}  // namespace

int main() {
  struct sigaction action{};
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = on_child;
  sigaction(SIGCHLD, &action, nullptr);

  std::atomic<bool> stop = false;
  std::atomic<long> work = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      while (!stop) {
        ++work;
        usleep(1000);
      }
    });
  std::set<pid_t> children;
  std::thread forker([&] {
    while (!stop && children.size() < kMostChildren / 2) {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      if (child > 0) children.insert(child);
      usleep(20'000);
    }
  });

  bool ran = run_one_machine();
  std::puts("first machine");
  std::fflush(stdout);
  // The test sends SIGINT now; a machine that started before it must not mind.
  while (g_interrupts == 0) usleep(1000);
  ran = run_one_machine() && ran;
  {
    // A machine that is killed while it boots.
    auto session = vmette::Session::create(vmette::Config());
    ran = session && session.value().launch() && session.value().kill() && ran;
  }
  stop = true;
  forker.join();
  for (std::thread& thread : threads) thread.join();
  while (g_collected_count < static_cast<int>(children.size())) usleep(1000);

  int strangers = 0;
  for (int i = 0; i < g_collected_count && i < kMostChildren; ++i)
    strangers += children.count(g_collected[i]) == 0 ? 1 : 0;
  const bool kept = still_installed(SIGINT, on_interrupt) && still_installed(SIGCHLD, on_child);
  std::printf(
      "machines %s, interrupts %d, handlers %s, own children %s, strangers %d, threads %s\n",
      ran ? "ran" : "failed", g_interrupts.load(), kept ? "kept" : "lost",
      g_collected_count == static_cast<int>(children.size()) && !children.empty() ? "all collected"
                                                                                  : "miscounted",
      strangers, work > 0 ? "worked" : "stood still");
  return 0;
}
