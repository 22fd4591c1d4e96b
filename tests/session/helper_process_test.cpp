#include "core/helper_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::UniqueFd;
using vmette::core::Code;
using vmette::core::HelperProcess;
using vmette::core::kill_helper;
using vmette::core::reap_helper;
using vmette::core::spawn_helper;
using vmette_test::contains;

namespace {

constexpr int kDeadlineMs = 20'000;

bool wait_readable(int fd) {
  pollfd item{fd, POLLIN, 0};
  return poll(&item, 1, kDeadlineMs) == 1;
}

// What the stand-in says on its socket, up to "end".
std::string report_of(const HelperProcess& helper) {
  std::string text;
  while (!contains(text, "\nend\n")) {
    char chunk[4096];
    if (!wait_readable(helper.socket.get())) return text + "(no more came)";
    const ssize_t got = read(helper.socket.get(), chunk, sizeof chunk);
    if (got <= 0) return text + "(ended)";
    text.append(chunk, static_cast<size_t>(got));
  }
  return text;
}

std::string end_of(HelperProcess& helper) {
  helper.socket.reset();
  if (!wait_readable(helper.pidfd.get())) return "did not end";
  return reap_helper(helper);
}

std::atomic<int> g_child_signals = 0;

void count_child(int /*number*/) {
  ++g_child_signals;
}

// A SIGCHLD handler as a host program may have one, for one scope.
class ChildHandler {
 public:
  ChildHandler() {
    struct sigaction action{};
    action.sa_handler = count_child;
    sigaction(SIGCHLD, &action, &before_);
    g_child_signals = 0;
  }
  ~ChildHandler() { sigaction(SIGCHLD, &before_, nullptr); }
  ChildHandler(const ChildHandler&) = delete;
  ChildHandler& operator=(const ChildHandler&) = delete;

 private:
  struct sigaction before_{};
};

}  // namespace

TEST_CASE("a helper starts with its socket, default signals, a session of its own and no more") {
  // What a careless host program has: open descriptors without CLOEXEC, ignored and blocked
  // signals.
  const UniqueFd leaky(open("/dev/null", O_RDONLY));
  const UniqueFd high(fcntl(leaky.get(), F_DUPFD, 200));
  REQUIRE(high);
  sigset_t some;
  sigset_t before;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &some, &before);
  const auto usr2 = signal(SIGUSR2, SIG_IGN);
  auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
  signal(SIGUSR2, usr2);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  REQUIRE(helper);

  const std::string report = report_of(helper.value());
  INFO(report);
  CHECK(contains(report, "fds: 0 1 2 3 \n"));
  CHECK(contains(report, "null: yes"));
  CHECK(contains(report, "signals: \n"));
  CHECK(contains(report, "session: own"));
  CHECK(contains(report, "argc: 1"));
  CHECK(contains(report, "argv0: " VMETTE_TEST_REPORT_STATE));
  CHECK(reap_helper(helper.value()).empty());
  CHECK(end_of(helper.value()) == "ended");
}

TEST_CASE("the caller's signal mask is the same after a helper has started") {
  sigset_t some;
  sigset_t before;
  sigemptyset(&some);
  sigaddset(&some, SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &some, &before);
  auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, &before, &after);
  REQUIRE(helper);
  for (int number = 1; number < 32; ++number)
    CHECK(sigismember(&after, number) == (number == SIGUSR1 ? 1 : 0));
  end_of(helper.value());
}

TEST_CASE("the host program gets no SIGCHLD and its wait(-1) does not see a helper") {
  const ChildHandler handler;
  auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
  REQUIRE(helper);
  REQUIRE(contains(report_of(helper.value()), "end"));
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);

  helper.value().socket.reset();
  REQUIRE(wait_readable(helper.value().pidfd.get()));
  // It has ended and is not collected: the moment at which wait() would take it.
  CHECK(waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
  siginfo_t info{};
  CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == -1);
  CHECK(reap_helper(helper.value()) == "ended");
  CHECK(g_child_signals == 0);
}

TEST_CASE("the host program's own children are still its own") {
  const ChildHandler handler;
  auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
  REQUIRE(helper);
  REQUIRE(contains(report_of(helper.value()), "end"));
  const pid_t child = fork();
  if (child == 0) _exit(3);
  int status = 0;
  pid_t collected = -1;
  while ((collected = waitpid(-1, &status, 0)) == -1 && errno == EINTR) {
  }
  CHECK(collected == child);
  CHECK(WEXITSTATUS(status) == 3);
  CHECK(g_child_signals == 1);
  CHECK(end_of(helper.value()) == "ended");
  CHECK(g_child_signals == 1);
}

TEST_CASE("a killed helper has ended and killing it again hits nobody") {
  auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
  REQUIRE(helper);
  REQUIRE(contains(report_of(helper.value()), "end"));
  kill_helper(helper.value());
  REQUIRE(wait_readable(helper.value().pidfd.get()));
  CHECK(reap_helper(helper.value()) == "ended");
  CHECK(reap_helper(helper.value()) == "ended");
  kill_helper(helper.value());
}

TEST_CASE("a host program that collects orphans gets no zombie and learns how a helper ended") {
  // In a child, which becomes the one that collects.
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) _exit(1);
    auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
    if (!helper || !contains(report_of(helper.value()), "end")) _exit(2);
    if (end_of(helper.value()) != "exited with status 7") _exit(3);
    auto killed = spawn_helper(VMETTE_TEST_REPORT_STATE);
    if (!killed || !contains(report_of(killed.value()), "end")) _exit(4);
    kill_helper(killed.value());
    if (end_of(killed.value()) != "was killed by signal 9") _exit(5);
    if (spawn_helper("/no/such/helper")) _exit(6);
    _exit(waitpid(-1, nullptr, WNOHANG | __WALL) == -1 && errno == ECHILD ? 0 : 7);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a program that cannot be started is an error with its path and errno, and no zombie") {
  const auto missing = spawn_helper("/no/such/helper");
  REQUIRE_FALSE(missing);
  INFO(missing.error().message);
  CHECK(missing.error().code == Code::kIo);
  CHECK(missing.error().error_number == ENOENT);
  CHECK(contains(missing.error().message, "/no/such/helper"));
  const vmette_test::TempDir dir;
  const auto plain = spawn_helper(dir.write("plain", "not a program"));
  REQUIRE_FALSE(plain);
  CHECK(plain.error().error_number == EACCES);
  siginfo_t info{};
  CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) == -1);
  CHECK(errno == ECHILD);
}

TEST_CASE("starting helpers leaves no descriptor behind") {
  const auto lowest_free = [] {
    const UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return fd.get();
  };
  const int before = lowest_free();
  for (int i = 0; i < 20; ++i) {
    auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
    REQUIRE(helper);
    end_of(helper.value());
    (void)spawn_helper("/no/such/helper");
  }
  CHECK(lowest_free() == before);
}

TEST_CASE("a helper starts when the host program has closed stdin, stdout and stderr") {
  // In a child, so that the test keeps its own.
  const pid_t child = fork();
  if (child == 0) {
    for (int fd = 0; fd < 20; ++fd) close(fd);
    auto helper = spawn_helper(VMETTE_TEST_REPORT_STATE);
    if (!helper) _exit(1);
    const std::string report = report_of(helper.value());
    if (!contains(report, "fds: 0 1 2 3 \n") || !contains(report, "null: yes")) _exit(2);
    _exit(end_of(helper.value()) == "ended" ? 0 : 3);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
}
