#include "core/fork_guard.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "core/event.h"
#include "core/pipes.h"
#include "core/reactor.h"
#include "support/catch.h"

using vmette::UniqueFd;
using vmette::core::Event;
using vmette::core::fork_generation;
using vmette::core::ForkGate;
using vmette::core::make_pipe;
using vmette::core::PipeEnds;
using vmette::core::Pumped;
using vmette::core::Reactor;

namespace {

// What `body` returns in a child, 0 to 255.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

PipeEnds new_pipe() {
  auto ends = make_pipe(Pumped::kRead);
  REQUIRE(ends);
  return std::move(ends).value();
}

// How many of the first descriptors are pipes.
int pipes_here() {
  constexpr int kLast = 512;
  int count = 0;
  for (int fd = 0; fd < kLast; ++fd) {
    struct stat info{};
    if (fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode)) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("a child of fork() has what was taken out of the library, and nothing else of it") {
  PipeEnds ends = new_pipe();
  const Event event;
  PipeEnds closed = new_pipe();
  const int number = closed.read.get();
  closed = PipeEnds();
  const UniqueFd mine(fcntl(STDIN_FILENO, F_DUPFD, number));  // a number that was the library's
  const UniqueFd taken = std::move(ends.write);
  const int kept = ends.read.get();
  CHECK(in_child([&] { return is_open(kept) ? 1 : is_open(event.fd()) ? 2 : 0; }) == 0);
  CHECK(in_child([&] { return is_open(mine.get()) && is_open(taken.get()) ? 0 : 1; }) == 0);
  CHECK(is_open(kept));
  CHECK(is_open(event.fd()));
}

TEST_CASE("in a child, freeing what was the parent's closes nothing of the child's own") {
  PipeEnds ends = new_pipe();
  const int number = ends.read.get();
  CHECK(in_child([&] {
          const int own = fcntl(STDIN_FILENO, F_DUPFD, number);  // takes the number
          ends = PipeEnds();
          return own == number && is_open(own) ? 0 : 1;
        }) == 0);
  CHECK(in_child([&] {
          const int own = fcntl(STDIN_FILENO, F_DUPFD, number);
          return ends.read.release() == -1 && is_open(own) ? 0 : 1;
        }) == 0);
  CHECK(is_open(number));
}

TEST_CASE("a child marks descriptors of its own, which its children do not have") {
  const uint32_t here = fork_generation();
  CHECK(in_child([&] {
          if (fork_generation() == here) return 1;
          const PipeEnds own = std::move(make_pipe(Pumped::kRead)).value();
          const int fd = own.read.get();
          const pid_t child = ::fork();
          if (child == 0) ::_exit(is_open(fd) ? 1 : 0);
          int status = 0;
          ::waitpid(child, &status, 0);
          return status != 0 ? 2 : is_open(fd) ? 0 : 3;
        }) == 0);
  CHECK(fork_generation() == here);
}

TEST_CASE("no fork falls between a descriptor's birth and its mark, or its mark and its end") {
  const int before = pipes_here();
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      while (!over) (void)make_pipe(Pumped::kWrite);
    });
  int most = 0;
  for (int i = 0; i < 300; ++i) most = std::max(most, in_child([] { return pipes_here(); }));
  over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(most == before);
}

TEST_CASE("a signal handler that forks does so where the thread is not in the gate") {
  static std::atomic<int> forks{0};
  struct sigaction action{};
  struct sigaction old{};
  action.sa_handler = [](int) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, nullptr, 0);
    ++forks;
  };
  REQUIRE(sigaction(SIGUSR1, &action, &old) == 0);
  {
    const ForkGate gate;
    pthread_kill(pthread_self(), SIGUSR1);
    CHECK(forks == 0);
  }
  CHECK(forks == 1);
  sigaction(SIGUSR1, &old, nullptr);
}

TEST_CASE("a reactor is its process's, and a child knows its parent's for what it is") {
  const auto made = Reactor::get();
  REQUIRE(made);
  const auto& reactor = made.value();
  CHECK_FALSE(reactor->inherited());
  CHECK(in_child([&] { return reactor->inherited() ? 0 : 1; }) == 0);
  CHECK_FALSE(reactor->inherited());
}
