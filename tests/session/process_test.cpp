#include "core/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "session/peer.h"
#include "support/catch.h"
#include "support/text.h"

namespace wire = vmette::wire;
using vmette::UniqueFd;
using vmette::core::Code;
using vmette::core::Error;
using vmette::core::OutputMode;
using vmette::core::Process;
using vmette::core::ProcessSpec;
using vmette_test::contains;
using vmette_test::frame_of;
using vmette_test::run_ready;
using vmette_test::run_until;
using wire::Channel;
using wire::Type;

namespace {

const std::string kFullFrame(wire::kMaxDataBytes, 'd');

struct Sent {
  Type type;
  uint16_t flags;
  std::string payload;
};

ProcessSpec spec_of(OutputMode mode) {
  ProcessSpec spec;
  spec.exec.argv = {"true"};
  spec.out = spec.err = mode;
  return spec;
}

// A process and the test in the place of its guest.
class Scripted {
 public:
  explicit Scripted(ProcessSpec spec = spec_of(OutputMode::kCapture)) {
    auto made = Process::create(io, std::move(spec));
    REQUIRE(made);
    process = made.value();
    process->open([this](Type type, uint16_t flags, std::string_view payload) {
      sent.push_back({type, flags, std::string(payload)});
      return true;
    });
  }

  std::string started() { return give(Type::kStarted, wire::encode(wire::Started{77, 1})); }
  std::string data(Channel channel, std::string_view bytes, bool eof = false) {
    return give(Type::kData, bytes, wire::channel_flags(channel, eof));
  }
  std::string out(std::string_view bytes) { return data(Channel::kStdout, bytes); }
  std::string eof(Channel channel) { return data(channel, {}, true); }
  std::string exit(wire::Exit message = {}) { return give(Type::kExit, wire::encode(message)); }
  std::string credit(uint32_t bytes, Channel channel = Channel::kStdin) {
    return give(Type::kCredit, wire::encode_credit(bytes), wire::channel_flags(channel));
  }
  std::string give(Type type, std::string_view payload, uint16_t flags = 0) {
    return process->handle(frame_of(type, payload, flags));
  }

  [[nodiscard]] size_t count(Type type) const {
    return static_cast<size_t>(
        std::count_if(sent.begin(), sent.end(), [&](const Sent& s) { return s.type == type; }));
  }
  [[nodiscard]] uint64_t granted(Channel channel) const {
    uint64_t sum = 0;
    for (const Sent& s : sent)
      if (s.type == Type::kCredit && s.flags == wire::channel_flags(channel))
        sum += wire::decode_credit(vmette_test::as_bytes(s.payload));
    return sum;
  }
  // What was sent as stdin, and whether its end was.
  [[nodiscard]] std::string fed() const {
    std::string bytes;
    for (const Sent& s : sent)
      if (s.type == Type::kData) bytes += s.payload;
    return bytes;
  }
  [[nodiscard]] bool fed_end() const {
    return std::any_of(sent.begin(), sent.end(), [](const Sent& s) {
      return s.type == Type::kData && (s.flags & wire::kFlagEof) != 0;
    });
  }

  boost::asio::io_context io;
  std::vector<Sent> sent;
  std::shared_ptr<Process> process;
};

bool is_set(const vmette::core::Event& event) {
  return event.wait(0);
}

std::string read_some(int fd, size_t most = 1 << 20) {
  std::string bytes(most, '\0');
  const ssize_t got = read(fd, bytes.data(), most);
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

// Reads what is there.
std::string drain(int fd) {
  std::string bytes;
  for (pollfd item{fd, POLLIN, 0}; poll(&item, 1, 0) == 1;) {
    const std::string piece = read_some(fd);
    if (piece.empty()) break;
    bytes += piece;
  }
  return bytes;
}

size_t waiting_in(int fd) {
  int bytes = 0;
  REQUIRE(ioctl(fd, FIONREAD, &bytes) == 0);
  return static_cast<size_t>(bytes);
}

bool at_end(int fd) {
  pollfd item{fd, POLLIN, 0};
  char byte = 0;
  return poll(&item, 1, 0) == 1 && read(fd, &byte, 1) == 0;
}

}  // namespace

TEST_CASE("opening a process sends what it runs and where its streams go") {
  ProcessSpec spec = spec_of(OutputMode::kCapture);
  spec.exec.argv = {"echo", "a b"};
  spec.exec.env = {{"K", "v"}};
  spec.err = OutputMode::kDiscard;
  spec.stdin_pipe = true;
  Scripted guest(spec);
  REQUIRE(guest.sent.size() == 1);
  CHECK(guest.sent[0].type == Type::kExec);
  const auto exec = wire::decode<wire::Exec>(vmette_test::as_bytes(guest.sent[0].payload)).value;
  REQUIRE(exec);
  CHECK(exec->argv == std::vector<std::string>{"echo", "a b"});
  CHECK(exec->env == spec.exec.env);
  CHECK(exec->in == wire::Stdio::kStream);
  CHECK(exec->out == wire::Stdio::kStream);
  CHECK(exec->err == wire::Stdio::kNull);
}

TEST_CASE("a command's life: started, output, exit, and over with both ends of file") {
  Scripted guest;
  bool told_started = false;
  bool told_finished = false;
  guest.process->on_started([&] { told_started = true; });
  guest.process->on_finished([&] { told_finished = true; });
  CHECK_FALSE(is_set(guest.process->started()));

  CHECK(guest.started().empty());
  CHECK(is_set(guest.process->started()));
  CHECK(told_started);
  CHECK(guest.process->pid() == 77);
  CHECK(guest.out("hello ").empty());
  CHECK(guest.data(Channel::kStderr, "oops").empty());

  wire::Exit exit;
  exit.status = 3;
  exit.out_bytes = 11;
  exit.err_bytes = 4;
  CHECK(guest.exit(exit).empty());
  CHECK(is_set(guest.process->exited()));
  CHECK(guest.process->exit()->status == 3);
  // Five bytes that it wrote before its end are still under way.
  CHECK_FALSE(is_set(guest.process->complete()));
  CHECK_FALSE(told_finished);
  CHECK(guest.out("world").empty());
  CHECK(is_set(guest.process->complete()));
  CHECK(told_finished);
  CHECK_FALSE(guest.process->over());

  CHECK(guest.eof(Channel::kStdout).empty());
  CHECK_FALSE(guest.process->over());
  CHECK(guest.eof(Channel::kStderr).empty());
  CHECK(guest.process->over());
  CHECK(guest.process->captured().out.data == "hello world");
  CHECK(guest.process->captured().err.data == "oops");
  CHECK_FALSE(guest.process->failure());
}

TEST_CASE("a command without outputs is over with its exit") {
  Scripted guest(spec_of(OutputMode::kDiscard));
  CHECK(guest.started().empty());
  CHECK_FALSE(guest.process->over());
  CHECK(guest.exit().empty());
  CHECK(guest.process->over());
  CHECK(is_set(guest.process->complete()));
}

TEST_CASE("with a terminal stderr has no end of file of its own") {
  ProcessSpec spec = spec_of(OutputMode::kCapture);
  spec.exec.tty = wire::WindowSize{};
  Scripted guest(spec);
  CHECK(guest.started().empty());
  CHECK(guest.exit().empty());
  CHECK(guest.eof(Channel::kStdout).empty());
  CHECK(guest.process->over());
}

TEST_CASE("a refused command is a spawn error with the guest's errno and stage") {
  Scripted guest;
  bool told_finished = false;
  guest.process->on_finished([&] { told_finished = true; });
  CHECK(guest.give(Type::kError, wire::encode(wire::Failure{"exec", ENOENT, "nope", ""})).empty());
  const auto failure = guest.process->failure();
  REQUIRE(failure);
  CHECK(failure->code == Code::kSpawn);
  CHECK(failure->error_number == ENOENT);
  CHECK(failure->stage == "exec");
  CHECK(contains(failure->message, "nope"));
  CHECK(contains(failure->message, "No such file"));
  CHECK(guest.process->over());
  CHECK(told_finished);
  CHECK(is_set(guest.process->started()));
  CHECK(is_set(guest.process->exited()));
  CHECK(is_set(guest.process->complete()));
  CHECK_FALSE(guest.process->exit());
}

TEST_CASE("text from the guest reaches errors as one clean line") {
  Scripted guest;
  CHECK(guest.give(Type::kError, wire::encode(wire::Failure{"a\nb", 1, "p\x1b[2J", "m\n\xff"}))
            .empty());
  const auto failure = guest.process->failure();
  CHECK(failure->stage == "a b");
  for (const char c : failure->message) CHECK(static_cast<unsigned char>(c) >= 0x20);
  CHECK(contains(failure->message, "m ?"));
}

TEST_CASE("frames out of order break the protocol and the rule is named") {
  SECTION("DATA, EXIT and CREDIT before STARTED") {
    ProcessSpec spec = spec_of(OutputMode::kCapture);
    spec.stdin_pipe = true;
    Scripted guest(spec);
    CHECK(contains(guest.out("x"), "before STARTED"));
    CHECK(contains(guest.exit(), "does not run"));
    CHECK(contains(guest.credit(1), "not open"));
  }
  SECTION("STARTED twice") {
    Scripted guest;
    CHECK(guest.started().empty());
    CHECK(contains(guest.started(), "twice"));
  }
  SECTION("ERROR after STARTED") {
    Scripted guest;
    CHECK(guest.started().empty());
    CHECK(contains(guest.give(Type::kError, wire::encode(wire::Failure{})), "refused"));
  }
  SECTION("EXIT twice") {
    Scripted guest;
    CHECK(guest.started().empty());
    CHECK(guest.exit().empty());
    CHECK(contains(guest.exit(), "does not run"));
  }
  SECTION("a type that is none of a command's") {
    Scripted guest;
    CHECK(contains(guest.give(Type::kHello, ""), "HELLO"));
    CHECK(contains(guest.give(Type::kResult, ""), "RESULT"));
    CHECK(contains(guest.give(Type::kBye, ""), "BYE"));
  }
  SECTION("DATA on stdin") {
    Scripted guest;
    CHECK(guest.started().empty());
    CHECK(contains(guest.data(Channel::kStdin, "x"), "stdin"));
  }
}

TEST_CASE("messages that do not decode break the protocol and keep the state") {
  Scripted guest;
  CHECK(contains(guest.give(Type::kStarted, "\xff"), "STARTED is wrong"));
  CHECK_FALSE(is_set(guest.process->started()));
  CHECK(contains(guest.give(Type::kError, ""), "ERROR is wrong"));
  CHECK(guest.started().empty());
  CHECK(contains(guest.give(Type::kExit, "\x81\x81"), "EXIT is wrong"));
  CHECK_FALSE(guest.process->exit());
}

TEST_CASE("an exit status that no process has breaks the protocol") {
  const auto status = [](bool signalled, int32_t number) {
    Scripted guest;
    CHECK(guest.started().empty());
    wire::Exit exit;
    exit.signalled = signalled;
    exit.status = number;
    return guest.exit(exit);
  };
  CHECK(status(false, 0).empty());
  CHECK(status(false, 255).empty());
  CHECK(status(true, 64).empty());
  CHECK(contains(status(false, 256), "256"));
  CHECK(contains(status(false, -1), "-1"));
  CHECK(contains(status(true, 65), "65"));
}

TEST_CASE("a guest may send its window and not a byte more") {
  Scripted guest(spec_of(OutputMode::kPipe));
  CHECK(guest.started().empty());
  // The pipe takes 256 KiB at once and that is granted again: the window is only exhausted when
  // both are full and nobody reads.
  const size_t pipe_bytes =
      static_cast<size_t>(fcntl(guest.process->caller_fd(Channel::kStdout), F_GETPIPE_SZ));
  size_t sent = 0;
  while (sent < pipe_bytes + wire::kInitialCredit) {
    REQUIRE(guest.out(kFullFrame).empty());
    sent += kFullFrame.size();
    run_ready(guest.io);
  }
  CHECK(guest.granted(Channel::kStdout) == pipe_bytes);
  const std::string broken = guest.out("x");
  INFO(broken);
  CHECK(contains(broken, "0 bytes of credit"));
  // stderr has a window of its own.
  CHECK(guest.data(Channel::kStderr, kFullFrame).empty());
}

TEST_CASE("credit comes back as the reader takes bytes, and only then") {
  Scripted guest(spec_of(OutputMode::kPipe));
  CHECK(guest.started().empty());
  UniqueFd fd = guest.process->take_fd(Channel::kStdout);
  const auto capacity = static_cast<size_t>(fcntl(fd.get(), F_GETPIPE_SZ));
  for (size_t sent = 0; sent < capacity + wire::kInitialCredit; sent += kFullFrame.size()) {
    REQUIRE(guest.out(kFullFrame).empty());
    run_ready(guest.io);
  }
  const uint64_t before = guest.granted(Channel::kStdout);
  run_ready(guest.io);
  CHECK(guest.granted(Channel::kStdout) == before);

  size_t read_bytes = 0;
  while (read_bytes < wire::kInitialCredit) {
    read_bytes += read_some(fd.get(), 4096).size();
    run_ready(guest.io);
  }
  CHECK(guest.granted(Channel::kStdout) > before);
  CHECK(guest.granted(Channel::kStdout) <= before + read_bytes);
  CHECK(guest.out(kFullFrame).empty());
}

TEST_CASE("a capturing process grants credit for what it drops too") {
  ProcessSpec spec = spec_of(OutputMode::kCapture);
  spec.capture_limit = 10;
  Scripted guest(spec);
  CHECK(guest.started().empty());
  for (int i = 0; i < 100; ++i) REQUIRE(guest.out(kFullFrame).empty());
  CHECK(guest.process->captured().out.data.size() == 10);
  CHECK(guest.process->captured().out.total == 100 * kFullFrame.size());
  CHECK(guest.granted(Channel::kStdout) == 100 * kFullFrame.size());
}

TEST_CASE("nothing may follow an end of file") {
  Scripted guest;
  CHECK(guest.started().empty());
  CHECK(guest.data(Channel::kStdout, "last", true).empty());
  CHECK(contains(guest.out("x"), "after the end"));
  CHECK(contains(guest.eof(Channel::kStdout), "after the end"));
  CHECK(guest.data(Channel::kStderr, "still open").empty());
  CHECK(guest.process->captured().out.data == "last");

  Scripted discarding(spec_of(OutputMode::kDiscard));
  CHECK(discarding.started().empty());
  CHECK(contains(discarding.out("x"), "after the end"));
}

TEST_CASE("a reader that closes its end is told to the guest and holds nothing up") {
  Scripted guest(spec_of(OutputMode::kPipe));
  bool finished = false;
  guest.process->on_finished([&] { finished = true; });
  CHECK(guest.started().empty());
  CHECK(guest.out("unread").empty());
  guest.process->take_fd(Channel::kStdout).reset();
  REQUIRE(run_until(guest.io, [&] { return guest.count(Type::kClose) == 1; }));
  CHECK(guest.sent.back().flags == wire::channel_flags(Channel::kStdout));
  // What was under way is dropped; the credit rule still holds.
  CHECK(guest.out("crossed").empty());
  wire::Exit exit;
  exit.out_bytes = 1000;
  CHECK(guest.eof(Channel::kStderr).empty());
  CHECK(guest.exit(exit).empty());
  CHECK(finished);
  CHECK(guest.eof(Channel::kStdout).empty());
  CHECK(guest.process->over());
  CHECK(guest.count(Type::kClose) == 1);
}

TEST_CASE("a reader gets everything and then end of file, also after the command is over") {
  Scripted guest(spec_of(OutputMode::kPipe));
  CHECK(guest.started().empty());
  UniqueFd fd = guest.process->take_fd(Channel::kStdout);
  const auto capacity = static_cast<size_t>(fcntl(fd.get(), F_GETPIPE_SZ));
  std::string expected;
  for (char c = 'a'; expected.size() < capacity + wire::kInitialCredit / 2; ++c) {
    const std::string piece(wire::kMaxDataBytes, c);
    REQUIRE(guest.out(piece).empty());
    expected += piece;
  }
  CHECK(guest.eof(Channel::kStdout).empty());
  CHECK(guest.eof(Channel::kStderr).empty());
  CHECK(guest.exit().empty());
  REQUIRE(guest.process->over());
  CHECK(waiting_in(fd.get()) == capacity);

  // The session has let it go and the caller keeps nothing but the descriptor.
  guest.process.reset();
  std::string got;
  CHECK(run_until(guest.io, [&] {
    got += drain(fd.get());
    return got.size() == expected.size();
  }));
  CHECK((got == expected));
  run_ready(guest.io);
  CHECK(at_end(fd.get()));
}

TEST_CASE("a reader that goes away after the command is over is nobody's concern") {
  Scripted guest(spec_of(OutputMode::kPipe));
  CHECK(guest.started().empty());
  UniqueFd fd = guest.process->take_fd(Channel::kStdout);
  const auto capacity = static_cast<size_t>(fcntl(fd.get(), F_GETPIPE_SZ));
  for (size_t sent = 0; sent < capacity + wire::kMaxDataBytes; sent += wire::kMaxDataBytes)
    REQUIRE(guest.out(kFullFrame).empty());
  CHECK(guest.eof(Channel::kStdout).empty());
  CHECK(guest.eof(Channel::kStderr).empty());
  CHECK(guest.exit().empty());
  const size_t frames = guest.sent.size();
  guest.process.reset();
  fd.reset();
  run_ready(guest.io);
  CHECK(guest.sent.size() == frames);
}

TEST_CASE("stdin is sent as far as the guest's credit goes") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.stdin_pipe = true;
  Scripted guest(spec);
  UniqueFd fd = guest.process->take_fd(Channel::kStdin);
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  run_ready(guest.io);
  CHECK(guest.fed().empty());  // nothing before STARTED
  CHECK(guest.started().empty());

  size_t written = 0;
  const std::string chunk(65536, 'i');
  const auto feed = [&] {
    const ssize_t done = write(fd.get(), chunk.data(), chunk.size());
    if (done > 0) written += static_cast<size_t>(done);
    run_ready(guest.io);
    return done <= 0;
  };
  while (!feed()) {
  }
  CHECK(guest.fed().size() == wire::kInitialCredit);
  CHECK(written > wire::kInitialCredit);

  CHECK(guest.credit(1000).empty());
  run_ready(guest.io);
  CHECK(guest.fed().size() == wire::kInitialCredit + 1000);
  CHECK(contains(guest.credit(wire::kInitialCredit + 1), "none"));
  CHECK(contains(guest.credit(0), "none"));
  CHECK(contains(guest.credit(5, Channel::kStdout), "none"));

  fd.reset();
  while (guest.fed().size() < written) {
    const auto sent = static_cast<uint32_t>(guest.fed().size());
    CHECK(guest.credit(std::min<uint32_t>(wire::kInitialCredit, sent)).empty());
    run_ready(guest.io);
    REQUIRE(guest.fed().size() > sent);
  }
  CHECK(guest.credit(1).empty());
  run_ready(guest.io);
  CHECK(guest.fed_end());
  CHECK(guest.fed().size() == written);
}

TEST_CASE("credit for more than was sent breaks the protocol") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.stdin_pipe = true;
  Scripted guest(spec);
  CHECK(guest.started().empty());
  CHECK(contains(guest.credit(1), "more credit than was used"));

  Scripted without;
  CHECK(without.started().empty());
  CHECK(contains(without.credit(1), "not open"));
}

TEST_CASE("given bytes are fed within the credit and followed by end of file") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.stdin_bytes = std::string(wire::kInitialCredit + 5, 'b');
  Scripted guest(spec);
  CHECK(guest.started().empty());
  CHECK(guest.fed().size() == wire::kInitialCredit);
  CHECK_FALSE(guest.fed_end());
  CHECK(guest.credit(4).empty());
  CHECK_FALSE(guest.fed_end());
  CHECK(guest.credit(100).empty());
  CHECK((guest.fed() == *spec.stdin_bytes));
  CHECK(guest.fed_end());

  ProcessSpec empty = spec_of(OutputMode::kDiscard);
  empty.stdin_bytes = "";
  Scripted nothing(empty);
  CHECK(nothing.started().empty());
  CHECK(nothing.fed().empty());
  CHECK(nothing.fed_end());
}

TEST_CASE("a caller that still writes when the command has exited gets EPIPE") {
  signal(SIGPIPE, SIG_IGN);
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.stdin_pipe = true;
  Scripted guest(spec);
  UniqueFd fd = guest.process->take_fd(Channel::kStdin);
  CHECK(guest.started().empty());
  CHECK(write(fd.get(), "x", 1) == 1);
  run_ready(guest.io);
  CHECK(guest.exit().empty());
  run_ready(guest.io);
  CHECK(write(fd.get(), "y", 1) == -1);
  CHECK(errno == EPIPE);
}

TEST_CASE("a lost process says why and what was buffered still reaches its reader") {
  Scripted guest(spec_of(OutputMode::kPipe));
  bool finished = false;
  guest.process->on_finished([&] { finished = true; });
  CHECK(guest.started().empty());
  UniqueFd fd = guest.process->take_fd(Channel::kStdout);
  CHECK(guest.out("last words").empty());
  guest.process->detach(Error(Code::kSessionEnded, "session ended: gone"));
  CHECK(guest.process->failure()->message == "session ended: gone");
  CHECK(is_set(guest.process->exited()));
  CHECK(is_set(guest.process->complete()));
  CHECK_FALSE(finished);
  CHECK(read_some(fd.get()) == "last words");
  run_ready(guest.io);
  CHECK(at_end(fd.get()));
  const size_t frames = guest.sent.size();
  guest.process->send_signal(9, wire::SignalScope::kTree);
  guest.process->resize({});
  CHECK(guest.sent.size() == frames);
}

TEST_CASE("a process that exited and then lost its session keeps its exit") {
  Scripted guest;
  CHECK(guest.started().empty());
  wire::Exit exit;
  exit.status = 5;
  CHECK(guest.exit(exit).empty());
  guest.process->detach(Error(Code::kSessionEnded, "gone"));
  CHECK(guest.process->exit()->status == 5);
  CHECK_FALSE(guest.process->failure());
}

TEST_CASE("a timeout kills the command's tree once and is remembered") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.timeout_ms = 1;
  Scripted guest(spec);
  run_ready(guest.io);
  CHECK(guest.count(Type::kSignal) == 0);  // it counts from the start
  CHECK(guest.started().empty());
  REQUIRE(run_until(guest.io, [&] { return guest.count(Type::kSignal) == 1; }));
  const auto signal =
      wire::decode<wire::Signal>(vmette_test::as_bytes(guest.sent.back().payload)).value;
  CHECK(signal->number == 9);
  CHECK(signal->scope == wire::SignalScope::kTree);
  CHECK(guest.process->timed_out());
}

TEST_CASE("a command that ends by itself while its timeout's kill is on its way did not time out") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.timeout_ms = 1;
  for (const bool killed : {false, true}) {
    Scripted guest(spec);
    CHECK(guest.started().empty());
    REQUIRE(run_until(guest.io, [&] { return guest.count(Type::kSignal) == 1; }));
    wire::Exit exit;
    exit.signalled = killed;
    exit.status = killed ? 9 : 0;
    CHECK(guest.exit(exit).empty());
    CHECK(guest.process->timed_out() == killed);
  }
}

TEST_CASE("the longest timeout that can be asked for does not pass at once") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.timeout_ms = UINT64_MAX;
  Scripted guest(spec);
  CHECK(guest.started().empty());
  run_ready(guest.io);
  CHECK(guest.count(Type::kSignal) == 0);
  CHECK_FALSE(guest.process->timed_out());
}

TEST_CASE("a timeout that comes after the exit does nothing") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.timeout_ms = 1;
  Scripted guest(spec);
  CHECK(guest.started().empty());
  CHECK(guest.exit().empty());
  CHECK_FALSE(run_until(guest.io, [&] { return guest.count(Type::kSignal) == 1; }));
  CHECK_FALSE(guest.process->timed_out());
}

TEST_CASE("a paused process has no timeout until it goes on") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.timeout_ms = 1;
  Scripted guest(spec);
  CHECK(guest.started().empty());
  guest.process->pause(true);
  // With the timer off nothing is left to wait for.
  CHECK_FALSE(run_until(guest.io, [&] { return guest.count(Type::kSignal) == 1; }));
  guest.process->pause(false);
  CHECK(run_until(guest.io, [&] { return guest.count(Type::kSignal) == 1; }));
}

TEST_CASE("a start that is heard of in a pause begins its timeout when the process goes on") {
  ProcessSpec spec = spec_of(OutputMode::kDiscard);
  spec.timeout_ms = 1;
  Scripted guest(spec);
  guest.process->pause(true);
  CHECK(guest.started().empty());
  CHECK_FALSE(run_until(guest.io, [&] { return guest.count(Type::kSignal) == 1; }));
  guest.process->pause(true);
  guest.process->pause(false);
  CHECK(run_until(guest.io, [&] { return guest.count(Type::kSignal) == 1; }));
}
