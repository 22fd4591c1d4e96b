// How commands end: signals, trees, timeouts, sessions that end first, a guest in distress.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "machine.h"
#include "support/catch.h"
#include "support/footprint.h"

namespace vmette_test {
namespace {

using std::chrono::milliseconds;
using vmette::ErrorCode;
using vmette::Exec;
using vmette::Scope;
using vmette::Stdio;
using vmette::Stream;

constexpr const char* kSleepers = "ps -o args | grep '[s]leep 7777' | wc -l";

std::string sleepers() {
  return sh(kSleepers).out;
}

// Reads one line of a command's stdout.
std::string line_of(const vmette::Process& process) {
  std::string line;
  for (;;) {
    const std::string next = read_all(process.fd(Stream::kStdout), 1);
    if (next.empty() || next == "\n") return line;
    line += next;
  }
}

}  // namespace

TEST_CASE("A signal to a command that has ended does nothing") {
  vmette::Process process = start(machine(), Exec("exit 3"));
  REQUIRE(process.wait(kLong));
  for (const Scope scope : {Scope::kProcess, Scope::kGroup, Scope::kTree})
    CHECK(process.signal(15, scope));
  CHECK(process.kill());
  CHECK(process.resize(10, 10));
  CHECK(sh("echo on").out == "on\n");
  CHECK(process.exit_code() == 3);
  CHECK(!process.signal(0));
  CHECK(!process.signal(65));
}

TEST_CASE("Every thread that waits for a command sees the same end") {
  Exec exec("read x; exit 9");
  exec.set_stdin(Stdio::kPipe);
  vmette::Process process = start(machine(), exec);
  std::atomic<int> seen{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 8; ++i)
    waiters.emplace_back([&] {
      if (process.wait(kLong) && process.exit_code() == 9) ++seen;
    });
  CHECK(write_all(process.fd(Stream::kStdin), "\n"));
  for (std::thread& waiter : waiters) waiter.join();
  CHECK(seen == 8);
}

TEST_CASE("Giving up a wait leaves the command alone") {
  Exec exec("read x; exit 4");
  exec.set_stdin(Stdio::kPipe);
  vmette::Process process = start(machine(), exec);
  const auto ended = process.wait(milliseconds(50));
  REQUIRE(!ended);
  CHECK(ended.error().code() == ErrorCode::kDeadline);
  CHECK(write_all(process.fd(Stream::kStdin), "\n"));
  REQUIRE(process.wait(kLong));
  CHECK(process.exit_code() == 4);
}

TEST_CASE("A process that is dropped without waiting leaves no descriptor behind") {
  sh("true");
  const size_t before = open_descriptors();
  for (int i = 0; i < 50; ++i) {
    Exec exec("cat; exit 0");
    exec.set_stdin(Stdio::kPipe).set_stdout(Stdio::kPipe).set_stderr(Stdio::kPipe);
    const vmette::Process dropped = start(machine(), exec);
  }
  // Each ends by its closed stdin; then the reactor has let go of its ends.
  for (int i = 0; i < 600 && open_descriptors() != before; ++i) sh("true");
  CHECK(open_descriptors() == before);
}

TEST_CASE("Killing a command kills what it started, wherever that moved to") {
  vmette::UniqueFd out;
  Exec exec(
      "setsid sleep 7777 & (setsid sh -c 'sleep 7777 & sleep 7777 &' &) ; "
      "(sleep 7777 &) ; trap '' TERM HUP INT; sleep 1; echo up; exec sleep 7777");
  exec.set_stdout(Stdio::kPipe);
  vmette::Process process = start(machine(), exec);
  REQUIRE(line_of(process) == "up");
  CHECK(sleepers() == "5\n");
  REQUIRE(process.kill());
  REQUIRE(process.wait(kLong));
  CHECK(process.term_signal() == 9);
  for (int i = 0; i < 100 && sleepers() != "0\n"; ++i) {
  }
  CHECK(sleepers() == "0\n");
}

TEST_CASE("Killing a command that has ended kills what still holds its streams") {
  vmette::Process process = start(machine(), Exec("setsid sleep 7777 & echo up"));
  REQUIRE(process.wait(kLong));
  CHECK(process.exit_code() == 0);
  // It may not have become one when its parent has ended.
  for (int i = 0; i < 100 && sleepers() != "1\n"; ++i) {
  }
  CHECK(sleepers() == "1\n");
  REQUIRE(process.kill());
  for (int i = 0; i < 100 && sleepers() != "0\n"; ++i) {
  }
  CHECK(sleepers() == "0\n");
}

TEST_CASE("A command's timeout kills its tree and says so, and does not run while paused") {
  vmette::Config config;
  config.set_mem_mib(192);
  vmette::Session session = boot(config);
  Exec exec("echo up; exec sleep 7777");
  exec.set_stdout(Stdio::kPipe).set_timeout(milliseconds(1500));
  vmette::Process process = start(session, exec);
  REQUIRE(line_of(process) == "up");
  REQUIRE(session.pause());
  // Twice the timeout: were it running, the command would count as timed out by now.
  const auto waited = process.wait(milliseconds(3000));
  CHECK(!waited);
  CHECK_FALSE(process.timed_out());
  REQUIRE(session.unpause());
  REQUIRE(process.wait(kLong));
  CHECK(process.timed_out());
  CHECK(process.term_signal() == 9);
  CHECK(process.end_message() == "killed because its timeout passed");
}

TEST_CASE("Commands that run when their session ends say that and why") {
  vmette::Config config;
  config.set_mem_mib(192);
  vmette::Session session = boot(config);
  std::vector<vmette::Process> processes;
  for (int i = 0; i < 5; ++i) {
    Exec exec("trap '' TERM; while :; do sleep 1000; done");
    exec.set_stdin(Stdio::kPipe).set_stdout(Stdio::kPipe);
    processes.push_back(start(session, exec));
    REQUIRE(processes.back().wait_started(kLong));
  }
  REQUIRE(session.kill());
  for (vmette::Process& process : processes) {
    const auto ended = process.wait(milliseconds(0));
    REQUIRE(!ended);
    CHECK(ended.error().code() == ErrorCode::kSessionEnded);
    CHECK(ended.error().message() == "session ended: " + std::string(session.end_message()));
    CHECK(read_all(process.fd(Stream::kStdout)).empty());
    CHECK(process.signal(15));
  }
  const auto late = session.exec(Exec("true"));
  REQUIRE(!late);
  CHECK(late.error().code() == ErrorCode::kSessionEnded);
}

TEST_CASE("The agent outlives kill -9 -1 by root in the guest, and the next command runs") {
  vmette::Process victim = start(machine(), Exec("exec sleep 7777"));
  REQUIRE(victim.wait_started(kLong));
  vmette::Process killer = start(machine(), Exec("kill -9 -1; exit 1"));
  REQUIRE(killer.wait(kLong));
  REQUIRE(victim.wait(kLong));
  CHECK(victim.term_signal() == 9);
  CHECK(sh("kill -9 1; kill -TERM 1; kill -STOP 1; echo on").out == "on\n");
}

TEST_CASE("A command that eats all memory is killed and says why, and the agent lives") {
  vmette::Config config;
  config.set_mem_mib(128);
  vmette::Session session = boot(config);
  // In one process's own memory; a tmpfs would not be freed by killing anyone.
  vmette::Process eater =
      start(session, Exec("exec awk 'BEGIN { s = \"0123456789\"; while (1) { s = s s } }'"));
  REQUIRE(eater.wait(kLong));
  CHECK(eater.term_signal() == 9);
  CHECK(eater.out_of_memory());
  CHECK(eater.end_message() == "killed by signal 9, out of memory");
  CHECK(run(session, Exec("echo on")).out == "on\n");
}

TEST_CASE("What a command does to its control group does not reach the next command") {
  const std::string group = "g=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup); ";
  // Groups that nobody has touched serve again, so there are few of them however many commands ran.
  for (int i = 0; i < 20; ++i) sh("true");
  CHECK(std::stoi(sh("ls -d /sys/fs/cgroup/vmette/*/ | wc -l").out) < 20);
  for (const char* change : {"echo 8M > $g/memory.max", "echo 1 > $g/memory.high", "mkdir $g/below",
                             "chmod 0700 $g", "echo 3 > $g/cgroup.max.depth"}) {
    CAPTURE(change);
    REQUIRE(sh(group + change).code == 0);
    for (int i = 0; i < 40; ++i)
      REQUIRE(sh(group + "cat $g/memory.max $g/memory.high $g/cgroup.max.depth; "
                         "stat -c %a $g; ls -d $g/*/ 2>/dev/null")
                  .out == "max\nmax\nmax\n755\n");
  }
}

TEST_CASE("A full disk stops writers and no commands") {
  vmette::Config config;
  config.set_mem_mib(192);
  vmette::Session session = boot(config);
  const Ran full = run(session, Exec("mkdir -p /mnt/t && mount -t tmpfs -o size=4m t /mnt/t && "
                                     "dd if=/dev/zero of=/mnt/t/x bs=64k 2>&1; "
                                     "echo more > /mnt/t/y || echo refused"));
  CHECK(full.out.find("No space left on device") != std::string::npos);
  Exec inside("pwd; echo on");
  inside.set_cwd("/mnt/t");
  CHECK(run(session, inside).out == "/mnt/t\non\n");
}

TEST_CASE("Ten thousand commands in a row make neither host nor agent larger") {
  const auto agent_kib = [] {
    return std::stoull(sh("awk '/VmRSS/ { print $2 }' /proc/1/status").out);
  };
  const auto agent_descriptors = [] { return sh("ls /proc/1/fd | wc -l").out; };
  const auto many = [](int count) {
    for (int i = 0; i < count; ++i) {
      const vmette::Process process = start(machine(), Exec(std::vector<std::string>{"/bin/true"}));
      REQUIRE(process.wait(kLong));
      REQUIRE(process.exit_code() == 0);
    }
  };
  many(200);
  const size_t descriptors = open_descriptors();
  const uint64_t resident = resident_kib();
  const uint64_t agent = agent_kib();
  const std::string agent_open = agent_descriptors();
  many(10'000);
  CHECK(open_descriptors() == descriptors);
  if (kMemoryIsMeasurable) CHECK(resident_kib() < resident + 2048);
  CHECK(agent_kib() < agent + 256);
  CHECK(agent_descriptors() == agent_open);
}

}  // namespace vmette_test
