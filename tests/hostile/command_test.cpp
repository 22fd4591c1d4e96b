// The library against a guest that breaks a rule while a command runs (command_scripts.cpp).
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include "base/unique_fd.h"
#include "host.h"
#include "support/catch.h"
#include "support/footprint.h"
#include "wire/codec.h"

namespace vmette_test {
namespace {

using std::chrono::milliseconds;

struct Case {
  const char* script;
  const char* message;
};

constexpr Case kViolations[] = {
    {"started-truncated", "its STARTED is wrong"},
    {"started-twice", "it started a command twice"},
    {"refused-after-start", "it refused a command that it had started"},
    {"refused-twice", "it sent ERROR on stream 1, which is not open"},
    {"refused-malformed", "its ERROR is wrong"},
    {"data-before-start", "it sent DATA before STARTED"},
    {"exit-before-start", "it ended a command that does not run"},
    {"credit-before-start", "it granted credit for a stdin that is not open"},
    {"started-on-the-next-stream", "it sent STARTED on stream 2, which is not open"},
    {"stdout-overrun", "bytes of credit left"},
    {"stderr-overrun", "bytes of credit left"},
    {"data-on-stdin", "it sent DATA for stdin"},
    {"data-after-eof", "it sent DATA after the end of the stream"},
    {"eof-twice", "it sent DATA after the end of the stream"},
    {"credit-unused", "it granted more credit than was used"},
    {"credit-too-large", "it sent a CREDIT that is none"},
    {"credit-of-nothing", "it sent a CREDIT that is none"},
    {"credit-too-short", "it sent a CREDIT that is none"},
    {"credit-empty", "it sent a CREDIT that is none"},
    {"credit-on-stdout", "it sent a CREDIT that is none"},
    {"exit-truncated", "its EXIT is wrong"},
    {"exit-256", "its EXIT has status 256"},
    {"exit-negative", "its EXIT has status -1"},
    {"exit-signal-65", "its EXIT has status 65"},
    {"exit-twice", "it ended a command that does not run"},
    {"exit-after-the-end", "it sent EXIT on stream 1, which is not open"},
    {"hello-on-a-command", "it sent HELLO on a command's stream"},
    {"result-on-a-command", "it sent RESULT on a command's stream"},
    {"closed-while-running", "control stream ended"},
};

std::string read_all(int fd) {
  std::string text;
  std::array<char, 65536> chunk;
  for (ssize_t got = 0; (got = ::read(fd, chunk.data(), chunk.size())) > 0;)
    text.append(chunk.data(), static_cast<size_t>(got));
  return text;
}

// Bytes that the pipe takes until it takes none for `patience`.
size_t fill(int fd, size_t most, milliseconds patience) {
  const std::string chunk(65536, 'y');
  size_t done = 0;
  while (done < most) {
    pollfd item{fd, POLLOUT, 0};
    if (::poll(&item, 1, static_cast<int>(patience.count())) != 1) break;
    const ssize_t put = ::write(fd, chunk.data(), 4096);
    if (put <= 0) break;
    done += static_cast<size_t>(put);
  }
  return done;
}

}  // namespace

TEST_CASE("A guest that breaks a command's rules ends the session, and the command says why") {
  for (const Case& rule : kViolations) {
    const NothingIsLeft before;
    {
      vmette::Session session = ready_session(rule.script);
      vmette::Process process = exec_with_pipes(session);
      const std::string message = end_of(session);
      INFO(rule.script << ": " << message);
      CHECK(message.find(rule.message) != std::string::npos);
      CHECK(is_one_clear_line(message));
      CHECK(session.end() == vmette::End::kError);
      const auto ended = process.wait(milliseconds(0));
      const std::string script = rule.script;
      if (!ended && ended.error().code() == vmette::ErrorCode::kSessionEnded) {
        CHECK(std::string(ended.error().message()) == "session ended: " + message);
      } else {
        // It had ended, or had been refused, before the rule was broken.
        CHECK((script.find("exit-") == 0 || script.find("refused-twice") == 0));
      }
      read_all(process.fd(vmette::Stream::kStdout));
    }
    INFO(rule.script);
    CHECK(before.holds());
  }
}

TEST_CASE("A command that the guest never answers ends at the caller's deadline") {
  vmette::Session session = ready_session("exec-ignored");
  vmette::Process process = exec_with_pipes(session);
  const auto started = process.wait_started(milliseconds(100));
  REQUIRE(!started);
  CHECK(started.error().code() == vmette::ErrorCode::kDeadline);
  CHECK(session.stop(0));
  CHECK(session.end() == vmette::End::kStopped);
  const auto ended = process.wait(milliseconds(0));
  REQUIRE(!ended);
  CHECK(ended.error().code() == vmette::ErrorCode::kSessionEnded);
}

TEST_CASE("A main command that the guest never answers ends at the ready deadline") {
  vmette::Config config;
  config.set_helper(VMETTE_TEST_HELPER)
      .set_kernel(VMETTE_TEST_HELPER)
      .set_initramfs(VMETTE_TEST_HELPER)
      .set_cmdline("exec-ignored")
      .set_exec("true")
      .set_ready_timeout_ms(2000);
  auto session = vmette::Session::create(config);
  REQUIRE(session);
  const auto started = session.value().start();
  REQUIRE(!started);
  CHECK(started.error().code() == vmette::ErrorCode::kStartFailed);
  CHECK(started.error().stage() == "exec");
}

TEST_CASE("A refusal with hostile text is one clear line") {
  vmette::Session session = ready_session("refused-hostile-text");
  vmette::Process process = exec_with_pipes(session);
  const auto started = process.wait_started(kHang);
  REQUIRE(!started);
  CHECK(started.error().code() == vmette::ErrorCode::kSpawn);
  CHECK(is_one_clear_line(started.error().message()));
  CHECK(is_one_clear_line(started.error().stage()));
  CHECK(session.state() == vmette::State::kReady);
}

TEST_CASE("An exit with absurd numbers is the command's end all the same") {
  vmette::Session session = ready_session("exit-absurd");
  vmette::Process process = exec_with_pipes(session);
  REQUIRE(process.wait(kHang));
  CHECK(process.exit_code() == 128 + 64);
  CHECK(process.out_of_memory());
  CHECK(is_one_clear_line(process.end_message()));
  CHECK(read_all(process.fd(vmette::Stream::kStdout)).empty());
  CHECK(session.state() == vmette::State::kReady);
}

TEST_CASE("Output that was promised and never comes ends at the caller's deadline") {
  vmette::Session session = ready_session("exit-without-output");
  vmette::Exec exec("command");
  auto process = session.exec(exec);
  REQUIRE(process);
  const auto ended = process.value().wait(milliseconds(100));
  REQUIRE(!ended);
  CHECK(ended.error().code() == vmette::ErrorCode::kDeadline);
  CHECK(session.kill());
}

TEST_CASE("A guest that prints for ever costs a bounded amount of memory") {
  vmette::Session session = ready_session("endless-output");
  SECTION("captured, it keeps the first bytes") {
    reset_peak_kib();
    const std::uint64_t before = resident_kib();
    vmette::Exec exec("command");
    exec.set_capture_limit(100'000);
    auto process = session.exec(exec);
    REQUIRE(process);
    std::uint64_t total = 0;
    while (total < (std::uint64_t{64} << 20)) {
      const auto output = process.value().output();
      REQUIRE(output);
      total = output.value().total(vmette::Stream::kStdout);
      CHECK(output.value().stdout_text().size() <= 100'000);
    }
    if (kMemoryIsMeasurable) CHECK(peak_kib() < before + 8192);
  }
  SECTION("to a pipe that nobody reads, it stops") {
    reset_peak_kib();
    const std::uint64_t before = resident_kib();
    vmette::Process process = exec_with_pipes(session);
    REQUIRE(process.wait_started(kHang));
    // A second command is what shows that the reactor had time for the first.
    vmette::Process second = exec_with_pipes(session);
    const auto started = second.wait_started(milliseconds(300));
    CHECK(!started);
    if (kMemoryIsMeasurable) CHECK(peak_kib() < before + 8192);
  }
  CHECK(session.kill());
}

TEST_CASE("A guest that grants credit and reads nothing makes the host queue a bounded amount") {
  ::signal(SIGPIPE, SIG_IGN);
  vmette::Session session = ready_session("credit-without-reading");
  vmette::Process process = exec_with_pipes(session);
  REQUIRE(process.wait_started(kHang));
  reset_peak_kib();
  const std::uint64_t before = resident_kib();
  const size_t taken =
      fill(process.fd(vmette::Stream::kStdin), size_t{64} << 20, milliseconds(500));
  INFO(taken);
  CHECK(taken < size_t{8} << 20);
  if (kMemoryIsMeasurable) CHECK(peak_kib() < before + 8192);
  CHECK(session.kill());
}

TEST_CASE("A guest that floods the host with legal frames delays no call beyond its deadline") {
  vmette::Session session = ready_session("empty-frames");
  vmette::Process process = exec_with_pipes(session);
  REQUIRE(process.wait_started(kHang));
  SECTION("other sessions start") {
    vmette::Session other = ready_session("good");
    CHECK(other.kill());
  }
  SECTION("it is stopped") {}
  CHECK(session.stop(50));
  CHECK(session.end() == vmette::End::kStopped);
}

TEST_CASE("A guest that misbehaves during an orderly stop is cut off") {
  for (const char* script : {"no-bye", "talks-after-bye", "garbage-in-shutdown"}) {
    const NothingIsLeft before;
    {
      vmette::Session session = ready_session(script);
      vmette::Process process = exec_with_pipes(session);
      REQUIRE(process.wait_started(kHang));
      INFO(script);
      CHECK(session.stop(50));
      CHECK(session.end() == vmette::End::kStopped);
    }
    CHECK(before.holds());
  }
}

TEST_CASE("A pipe is read to its end after the process and its handle are gone") {
  // The buffered rest outlives whoever filled it.
  vmette::Session session = ready_session("window-then-exit");
  vmette::UniqueFd out;
  {
    vmette::Process process = exec_with_pipes(session);
    out.reset(process.take_fd(vmette::Stream::kStdout));
    REQUIRE(process.wait(kHang));
  }
  // Another command's answer shows that the reactor has been through the first one's end.
  vmette::Process second = exec_with_pipes(session);
  REQUIRE(second.wait_started(kHang));
  CHECK(read_all(out.get()).size() == vmette::wire::kInitialCredit + vmette::wire::kMaxDataBytes);
}

}  // namespace vmette_test
