// A command's streams over real pipes, with the test as the host at the other end of a socket.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control.h"
#include "input_stream.h"
#include "loop.h"
#include "output_stream.h"
#include "support/catch.h"

using namespace vmette;
using namespace vmette::agent;

namespace {

constexpr uint64_t kStream = 5;

struct Pipe {
  Pipe() {
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    read_end.reset(fds[0]);
    write_end.reset(fds[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

// The agent's loop and control stream, and the host that reads it.
class Bench : private ControlStream::Peer, private StreamOwner {
 public:
  Bench() {
    // As PID 1 does.
    signal(SIGPIPE, SIG_IGN);
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    host_.reset(fds[1]);
    control_.reset(new ControlStream(loop_, UniqueFd(fds[0]), *this));
  }

  Loop& loop() { return loop_; }
  ControlStream& control() { return *control_; }
  StreamOwner& owner() { return *this; }

  // Lets agent and host work until nothing moves any more.
  void settle() {
    for (int quiet = 0; quiet < 3; ++quiet) {
      loop_.turn(true);
      control_->pump();
      if (receive()) quiet = 0;
    }
  }

  // As settle(), with a writer that works meanwhile: until something has come or nothing did for
  // five seconds.
  bool hear() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (std::chrono::steady_clock::now() < end) {
      const bool more = (loop_.turn(true), control_->pump());
      if (receive()) return true;
      if (!more) std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return false;
  }

  bool deaf = false;     // the host reads nothing
  std::string data;      // on stdout
  bool eof = false;      // on stdout
  uint64_t granted = 0;  // on stdin
  int ended = 0;         // output streams that said so

 private:
  bool receive() {
    if (deaf) return false;
    const auto room = decoder_.space();
    const ssize_t got = read(host_.get(), room.data(), room.size());
    if (got <= 0) return false;
    decoder_.fill(static_cast<size_t>(got));
    wire::Frame frame;
    while (decoder_.next(frame) == wire::Decoder::Status::kFrame) {
      CHECK(frame.stream == kStream);
      if (frame.type == wire::Type::kCredit) granted += wire::decode_credit(frame.payload);
      if (frame.type != wire::Type::kData) continue;
      CHECK_FALSE(eof);
      data.append(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size());
      eof = frame.eof();
    }
    return true;
  }

  void frame(const wire::Frame&) override {}
  void broken(std::string_view) override {}
  void lost() override {}
  void output_ended() override { ++ended; }

  Loop loop_;
  UniqueFd host_;
  std::unique_ptr<ControlStream> control_;
  wire::Decoder decoder_{wire::Sender::kGuest};
};

// Byte `at` of what a command prints: no page is like another.
char printed_byte(size_t at) {
  return static_cast<char>(at * 2654435761U >> 13);
}

struct Output {
  // By default as it is with a port that takes no pages.
  explicit Output(bool moving = false) {
    if (moving) bench.control().output().allow_moving();
    fcntl(pipe.write_end.get(), F_SETPIPE_SZ, 1024 * 1024);
    REQUIRE(stream.open(std::move(pipe.read_end), false, false) == 0);
  }
  void print(size_t bytes) {
    const std::string text = next_text(bytes);
    // More than a pipe holds goes in pieces.
    for (size_t done = 0; done < bytes;) {
      const ssize_t put = write(pipe.write_end.get(), text.data() + done, bytes - done);
      REQUIRE(put > 0);
      done += static_cast<size_t>(put);
      if (done < bytes) bench.settle();
    }
  }
  // With one call that waits until all is in the pipe.
  void print_waiting(size_t bytes) {
    const std::string text = next_text(bytes);
    fcntl(pipe.write_end.get(), F_SETFL, 0);
    written = write(pipe.write_end.get(), text.data(), bytes);
  }
  std::string next_text(size_t bytes) {
    std::string text(bytes, '\0');
    for (char& byte : text) byte = printed_byte(printed++);
    return text;
  }
  [[nodiscard]] bool unchanged() const {
    for (size_t i = 0; i < bench.data.size(); ++i)
      if (bench.data[i] != printed_byte(i)) return false;
    return true;
  }
  Bench bench;
  Pipe pipe;
  size_t printed = 0;
  ssize_t written = 0;
  OutputStream stream{bench.loop(), bench.control(), bench.owner(), kStream,
                      wire::Channel::kStdout};
};

struct Input {
  Input() { REQUIRE(stream.open(std::move(pipe.write_end), false) == 0); }
  bool give(size_t bytes, bool eof = false) {
    const std::vector<std::byte> payload(bytes, std::byte{'y'});
    return stream.receive(payload, eof);
  }
  // What the command reads now; `closed` says whether it met the end.
  size_t read_all(bool& closed) {
    char buffer[65536];
    size_t total = 0;
    while (true) {
      const ssize_t got = read(pipe.read_end.get(), buffer, sizeof buffer);
      closed = got == 0;
      if (got <= 0) return total;
      total += static_cast<size_t>(got);
    }
  }
  Bench bench;
  Pipe pipe;
  InputStream stream{bench.loop(), bench.control(), kStream};
};

}  // namespace

TEST_CASE("output arrives whole and ends with one EOF") {
  const bool moving = GENERATE(false, true);
  Output output(moving);
  output.print(100000);
  output.bench.settle();
  CHECK(output.bench.data.size() == 100000);
  CHECK_FALSE(output.bench.eof);
  output.print(5);
  output.pipe.write_end.reset();
  output.bench.settle();
  CHECK(output.bench.data.size() == 100005);
  CHECK(output.unchanged());
  CHECK(output.bench.eof);
  CHECK(output.stream.ended());
  CHECK(output.bench.ended == 1);
}

TEST_CASE("output stops at the credit window and goes on with each grant") {
  const bool moving = GENERATE(false, true);
  Output output(moving);
  output.print(wire::kInitialCredit + 50000);
  output.bench.settle();
  CHECK(output.bench.data.size() == wire::kInitialCredit);
  CHECK(output.stream.bytes_by_now() == wire::kInitialCredit + 50000);
  REQUIRE(output.stream.grant(20000));
  output.bench.settle();
  CHECK(output.bench.data.size() == wire::kInitialCredit + 20000);
  CHECK(output.unchanged());
  CHECK_FALSE(output.stream.grant(wire::kInitialCredit + 1));
}

TEST_CASE("EOF needs no credit, but waits for the bytes before it") {
  const bool moving = GENERATE(false, true);
  Output output(moving);
  output.print(wire::kInitialCredit);
  output.pipe.write_end.reset();
  output.bench.settle();
  CHECK(output.bench.data.size() == wire::kInitialCredit);
  CHECK(output.bench.eof);

  Output late(moving);
  late.print(wire::kInitialCredit + 1);
  late.pipe.write_end.reset();
  late.bench.settle();
  CHECK(late.bench.data.size() == wire::kInitialCredit);
  CHECK_FALSE(late.bench.eof);
  REQUIRE(late.stream.grant(1));
  late.bench.settle();
  CHECK(late.bench.data.size() == wire::kInitialCredit + 1);
  CHECK(late.bench.eof);
  CHECK(late.unchanged());
}

TEST_CASE("EOF after the window was used up is noticed when it comes") {
  const bool moving = GENERATE(false, true);
  Output output(moving);
  output.print(wire::kInitialCredit);
  output.bench.settle();
  CHECK_FALSE(output.bench.eof);
  output.pipe.write_end.reset();
  output.bench.settle();
  CHECK(output.bench.eof);
}

TEST_CASE("a closed output is answered with EOF and its writer gets an error") {
  const bool moving = GENERATE(false, true);
  Output output(moving);
  output.print(wire::kInitialCredit + 1);
  output.bench.settle();
  output.stream.close();
  output.stream.close();
  output.bench.settle();
  CHECK(output.bench.eof);
  CHECK(output.bench.ended == 1);
  CHECK(write(output.pipe.write_end.get(), "x", 1) < 0);
  CHECK(errno == EPIPE);
  // A grant may have crossed the end.
  CHECK(output.stream.grant(wire::kInitialCredit));
}

TEST_CASE("a writer that fills its pipe again and again is never left waiting") {
  Output output(GENERATE(false, true));
  fcntl(output.pipe.write_end.get(), F_SETPIPE_SZ, 64 * 1024);
  constexpr size_t kBytes = 16 * 1024 * 1024 + 7;
  output.print(10);
  std::thread writer([&] {
    output.print_waiting(kBytes);
    output.pipe.write_end.reset();
  });
  size_t taken = 0;
  while (!output.bench.eof && output.bench.hear()) {
    const size_t fresh = output.bench.data.size() - taken;
    taken += fresh;
    if (fresh > 0) CHECK(output.stream.grant(static_cast<uint32_t>(fresh)));
  }
  output.stream.close();
  writer.join();
  CHECK(output.written == static_cast<ssize_t>(kBytes));
  CHECK(output.bench.data.size() == kBytes + 10);
  CHECK(output.unchanged());
}

TEST_CASE("an output closed within a frame that is being moved leaves a whole frame") {
  Output output(true);
  output.bench.deaf = true;
  output.print(600000);
  output.bench.settle();
  output.stream.close();
  output.bench.deaf = false;
  output.bench.settle();
  CHECK(output.bench.eof);
  CHECK(output.bench.data.size() < 600000);
  CHECK(output.bench.data.size() > 100000);
  CHECK(output.unchanged());
}

TEST_CASE("input reaches the command, is granted back as it is read, and ends with EOF") {
  Input input;
  bool closed = false;
  size_t taken = 0;
  for (int i = 0; i < 40; ++i) {
    REQUIRE(input.give(32 * 1024, i == 39));
    input.bench.settle();
    taken += input.read_all(closed);
    input.bench.settle();
  }
  taken += input.read_all(closed);
  input.bench.settle();
  taken += input.read_all(closed);
  CHECK(taken == 40 * 32 * 1024);
  CHECK(closed);
  CHECK(input.bench.granted + ReceiveCredit::kGrantBytes > taken);
}

TEST_CASE("a command that does not read is owed one window and no more") {
  Input input;
  size_t given = 0;
  while (given < 10 * wire::kInitialCredit && input.give(64 * 1024)) {
    given += 64 * 1024;
    input.bench.settle();
  }
  // One pipe of 64 KiB took its fill, the rest of the window waits in the agent.
  // What the pipe took is not enough for a grant.
  CHECK(given == wire::kInitialCredit);
}

TEST_CASE("input for a command that closed its stdin is dropped and granted back") {
  Input input;
  REQUIRE(input.give(wire::kInitialCredit));
  input.pipe.read_end.reset();
  input.bench.settle();
  CHECK(input.bench.granted == wire::kInitialCredit);
  for (int i = 0; i < 8; ++i) REQUIRE(input.give(wire::kInitialCredit / 2));
  input.bench.settle();
  CHECK(input.bench.granted == 5 * wire::kInitialCredit);
}

TEST_CASE("input without a stdin is dropped and granted back") {
  Bench bench;
  InputStream none(bench.loop(), bench.control(), kStream);
  REQUIRE(none.receive(std::vector<std::byte>(wire::kInitialCredit), false));
  bench.settle();
  CHECK(bench.granted == wire::kInitialCredit);
}

TEST_CASE("input reaches whoever still reads when the command has ended, and then ends") {
  Input input;
  constexpr size_t kBeyondThePipe = 300'000;
  REQUIRE(input.give(kBeyondThePipe));
  input.stream.end();
  bool closed = false;
  size_t total = 0;
  for (int i = 0; i < 100 && !closed; ++i) {
    total += input.read_all(closed);
    input.bench.settle();
  }
  CHECK(closed);
  CHECK(total == kBeyondThePipe);
  REQUIRE(input.give(kBeyondThePipe));  // has crossed the end
}

TEST_CASE("input of a stream that is over is dropped without a word") {
  Input input;
  REQUIRE(input.give(wire::kInitialCredit));
  input.stream.fall_silent();
  REQUIRE(input.give(wire::kInitialCredit));
  input.bench.settle();
  CHECK(input.bench.granted == 0);
}

TEST_CASE("input after EOF breaks the protocol") {
  Input input;
  REQUIRE(input.give(10, true));
  CHECK_FALSE(input.give(1));
}

TEST_CASE("output of a connection that is over is read and dropped, whatever the credit") {
  Output output(GENERATE(false, true));
  output.print(wire::kInitialCredit + 5000);
  output.bench.settle();
  CHECK(output.bench.data.size() == wire::kInitialCredit);
  output.stream.disown();
  output.bench.settle();
  output.print(4 * wire::kInitialCredit);
  output.bench.settle();
  // Nobody is left waiting, and nothing was said.
  pollfd writer{output.pipe.write_end.get(), POLLOUT, 0};
  CHECK(poll(&writer, 1, 0) == 1);
  output.pipe.write_end.reset();
  output.bench.settle();
  CHECK(output.bench.data.size() == wire::kInitialCredit);
  CHECK_FALSE(output.bench.eof);
  CHECK(output.bench.ended == 1);
}

TEST_CASE("output that no event has told of is found when it is looked for") {
  Output output(true);
  output.bench.settle();
  output.print(5);
  output.stream.look();
  CHECK(output.bench.control().flush(0));
  output.bench.settle();
  CHECK(output.bench.data.size() == 5);
}

TEST_CASE("input of a connection that is over ends once what has come is read") {
  Input input;
  constexpr size_t kBeyondThePipe = 300'000;
  REQUIRE(input.give(kBeyondThePipe));
  input.bench.settle();
  const uint64_t granted = input.bench.granted;
  input.stream.disown();
  bool closed = false;
  size_t total = 0;
  for (int i = 0; i < 100 && !closed; ++i) {
    total += input.read_all(closed);
    input.bench.settle();
  }
  CHECK(closed);
  CHECK(total == kBeyondThePipe);
  CHECK(input.bench.granted == granted);
}
