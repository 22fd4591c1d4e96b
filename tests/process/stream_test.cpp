// A command's streams: backpressure, EOF, SIGPIPE, long streams, terminals.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "machine.h"
#include "support/catch.h"
#include "support/footprint.h"

namespace vmette_test {
namespace {

using std::chrono::milliseconds;
using vmette::Exec;
using vmette::Stdio;
using vmette::Stream;

Exec with_pipes(const std::string& line) {
  Exec exec(line);
  exec.set_stdin(Stdio::kPipe).set_stdout(Stdio::kPipe).set_stderr(Stdio::kPipe);
  return exec;
}

// Sends `size` bytes through `cat` in the guest and compares what comes back.
void through_cat(uint64_t size) {
  constexpr size_t kPiece = 256 * 1024;
  vmette::Process cat = start(machine(), with_pipes("exec cat"));
  Checksum sent;
  std::thread writer([&] {
    for (uint64_t at = 0; at < size; at += kPiece) {
      const std::string piece =
          pattern(at, static_cast<size_t>(std::min<uint64_t>(kPiece, size - at)));
      sent.add(piece);
      if (!write_all(cat.fd(Stream::kStdin), piece)) break;
    }
    cat.close_fd(Stream::kStdin);
  });
  reset_peak_kib();
  const uint64_t before = resident_kib();
  Checksum received;
  uint64_t total = 0;
  for (;;) {
    const std::string piece = read_all(cat.fd(Stream::kStdout), kPiece);
    if (piece.empty()) break;
    received.add(piece);
    total += piece.size();
  }
  writer.join();
  CHECK(total == size);
  CHECK(received.value() == sent.value());
  if (kMemoryIsMeasurable) CHECK(peak_kib() < before + 8192);
  REQUIRE(cat.wait(kLong));
  CHECK(cat.exit_code() == 0);
}

}  // namespace

TEST_CASE("64 MiB through stdin and back through cat arrive whole, with bounded memory") {
  through_cat(uint64_t{64} << 20);
}

TEST_CASE("A reader that stops blocks its command, costs bounded memory and loses no byte") {
  constexpr uint64_t kBytes = uint64_t{16} << 20;
  sh("rm -f /tmp/through");
  vmette::Process writer =
      start(machine(), with_pipes("head -c " + std::to_string(kBytes) +
                                  " /dev/zero | tr '\\000' 'z'; echo over > /tmp/through"));
  REQUIRE(writer.wait_started(kLong));
  reset_peak_kib();
  const uint64_t before = resident_kib();
  // Another command's megabyte passes the stopped one by.
  CHECK(sh("head -c 900000 /dev/zero | tr '\\000' 'y'").out.size() == 900'000);
  CHECK(sh("cat /tmp/through 2>/dev/null").out.empty());
  if (kMemoryIsMeasurable) CHECK(peak_kib() < before + 8192);
  const std::string bytes = read_all(writer.fd(Stream::kStdout));
  CHECK(bytes.size() == kBytes);
  CHECK(bytes.find_first_not_of('z') == std::string::npos);
  REQUIRE(writer.wait(kLong));
  CHECK(sh("cat /tmp/through").out == "over\n");
}

TEST_CASE("A command whose reader went away gets SIGPIPE") {
  vmette::Process yes = start(machine(), with_pipes("exec yes"));
  CHECK(read_all(yes.fd(Stream::kStdout), 4) == "y\ny\n");
  yes.close_fd(Stream::kStdout);
  REQUIRE(yes.wait(kLong));
  CHECK(yes.term_signal() == 13);
}

TEST_CASE("A command whose stderr reader went away goes on with its stdout") {
  vmette::Process process =
      start(machine(), with_pipes("trap '' PIPE; read x; echo to-err >&2; echo to-out"));
  process.close_fd(Stream::kStderr);
  CHECK(write_all(process.fd(Stream::kStdin), "go\n"));
  CHECK(read_all(process.fd(Stream::kStdout)) == "to-out\n");
  REQUIRE(process.wait(kLong));
}

TEST_CASE("Closing stdin is the end of the input in the guest") {
  vmette::Process process = start(machine(), with_pipes("exec wc -c"));
  CHECK(write_all(process.fd(Stream::kStdin), "12345"));
  process.close_fd(Stream::kStdin);
  process.close_fd(Stream::kStdin);
  CHECK(read_all(process.fd(Stream::kStdout)) == "5\n");
  Exec empty("exec wc -c");
  empty.set_stdin_bytes("");
  CHECK(run(machine(), empty).out == "0\n");
}

TEST_CASE("Bytes for a command that reads none of them end with an error of the pipe") {
  vmette::Process process = start(machine(), with_pipes("exit 5"));
  REQUIRE(process.wait(kLong));
  CHECK(process.exit_code() == 5);
  // The reactor closes its end at the command's exit; what is written before that is dropped.
  pollfd item{process.fd(Stream::kStdin), 0, 0};
  CHECK(::poll(&item, 1, 60'000) == 1);
  CHECK_FALSE(write_all(process.fd(Stream::kStdin), "x"));
}

TEST_CASE("A command that is fed more than it reads ends like any other") {
  const std::string bytes(size_t{2} << 20, 'x');
  for (const char* line : {"exit 0", "head -c 300000 >/dev/null", "exec head -c 700000"}) {
    for (int i = 0; i < 10; ++i) {
      Exec exec(line);
      exec.set_stdin_bytes(bytes).set_stdout(Stdio::kNull).set_stderr(Stdio::kNull);
      const vmette::Process process = start(machine(), exec);
      const auto ended = process.wait(kLong);
      INFO(line << ": " << (ended ? "" : std::string(ended.error().message())));
      REQUIRE(ended);
      CHECK(process.exit_code() == 0);
    }
  }
}

TEST_CASE("What a command leaves behind meets the end of its input") {
  vmette::Process process =
      start(machine(), with_pipes("read x; exec 3<&0; (cat <&3; echo end) & exit 0"));
  CHECK(write_all(process.fd(Stream::kStdin), "\n"));
  CHECK(read_all(process.fd(Stream::kStdout)) == "end\n");
  REQUIRE(process.wait(kLong));
}

TEST_CASE("A pipe is read to its end after the process's handle is gone") {
  vmette::UniqueFd out;
  {
    vmette::Process process = start(machine(), with_pipes("head -c 400000 /dev/zero"));
    out.reset(process.take_fd(Stream::kStdout));
    REQUIRE(process.wait_started(kLong));
  }
  CHECK(read_all(out.get()).size() == 400'000);
}

namespace {

struct Terminal {
  vmette::Process process;
  std::string seen;

  // Reads until `text` has come.
  bool wait_for(const std::string& text) {
    while (seen.find(text) == std::string::npos) {
      pollfd item{process.fd(Stream::kStdout), POLLIN, 0};
      if (::poll(&item, 1, 120'000) != 1) return false;
      const std::string piece = read_all(process.fd(Stream::kStdout), 1);
      if (piece.empty()) return false;
      seen += piece;
    }
    seen.erase(0, seen.find(text) + text.size());
    return true;
  }
  void type(const std::string& text) { CHECK(write_all(process.fd(Stream::kStdin), text)); }
};

Terminal terminal(const std::string& line) {
  Exec exec(line);
  exec.set_stdin(Stdio::kPipe).set_stdout(Stdio::kPipe).set_tty(33, 101, "vt100");
  return {start(machine(), exec), {}};
}

}  // namespace

TEST_CASE("A terminal has the size and the name that were asked for, and tells of a new size") {
  Terminal shell = terminal(
      "trap 'echo resized' WINCH; echo $TERM; stty size; echo go; "
      "while :; do read x; stty size; done");
  CHECK(shell.wait_for("vt100"));
  CHECK(shell.wait_for("33 101"));
  CHECK(shell.wait_for("go"));
  REQUIRE(shell.process.resize(44, 120));
  shell.type("\n");
  CHECK(shell.wait_for("44 120"));
  REQUIRE(shell.process.kill());
  REQUIRE(shell.process.wait(kLong));
}

TEST_CASE("A terminal begins with the modes that were asked for") {
  const auto modes = [](bool echo, bool raw) {
    Exec exec("stty -a");
    exec.set_tty(24, 80).set_tty_modes(echo, raw);
    const auto process = start(machine(), exec);
    REQUIRE(process.wait(kLong));
    const auto output = process.output();
    REQUIRE(output);
    std::string text(output.value().stdout_text());
    std::ranges::replace(text, '\n', ' ');
    std::ranges::replace(text, '\r', ' ');
    const auto has = [&text](const char* word) {
      return text.find(' ' + std::string(word)) != std::string::npos;
    };
    INFO(text);
    CHECK(has("-echo ") != echo);
    return has("-icanon") && has("-isig") && has("-opost");
  };
  CHECK_FALSE(modes(true, false));
  CHECK_FALSE(modes(false, false));
  CHECK(modes(false, true));
  CHECK(modes(true, true));
}

TEST_CASE("Ctrl-C in a terminal reaches the foreground job and leaves the shell alone") {
  Terminal shell = terminal("exec sh -i");
  shell.type("PS1='#'; echo re''ady\n");
  CHECK(shell.wait_for("ready"));
  shell.type("sh -c 'echo sleep''ing; exec sleep 1000'\n");
  CHECK(shell.wait_for("sleeping"));
  shell.type("\x03");
  shell.type("echo code=$?\n");
  CHECK(shell.wait_for("code=130"));
  SECTION("Ctrl-Z stops a job and fg goes on with it") {
    shell.type("sh -c 'echo sleep''ing; sleep 1000; echo not-yet'\n");
    CHECK(shell.wait_for("sleeping"));
    shell.type("\x1a");
    CHECK(shell.wait_for("Stopped"));
    shell.type("jobs; echo lis''ted\n");
    CHECK(shell.wait_for("listed"));
    shell.type("kill -9 %1; fg; echo af''ter\n");
    CHECK(shell.wait_for("after"));
  }
  shell.type("exit 7\n");
  REQUIRE(shell.process.wait(kLong));
  CHECK(shell.process.exit_code() == 7);
}

TEST_CASE("The end of a terminal's input is the end-of-file character") {
  Terminal cat = terminal("cat; echo ov''er");
  cat.type("line\n");
  CHECK(cat.wait_for("line"));
  cat.process.close_fd(Stream::kStdin);
  CHECK(cat.wait_for("over"));
  REQUIRE(cat.process.wait(kLong));
}

TEST_CASE("A terminal whose output nobody wants ends with its command") {
  Exec exec("echo into nothing");
  exec.set_stdout(Stdio::kNull).set_tty(24, 80);
  vmette::Process process = start(machine(), exec);
  REQUIRE(process.wait(kLong));
  CHECK(process.exit_code() == 0);
}

}  // namespace vmette_test
