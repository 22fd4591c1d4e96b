#include "output_queue.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "credit.h"
#include "support/catch.h"

using namespace vmette;
using agent::OutputQueue;
using agent::Source;

namespace {

// Has `left` bytes to send, at most `piece` at a time.
class Supply final : public Source {
 public:
  Supply(uint64_t stream, size_t left, size_t piece = SIZE_MAX)
      : stream_(stream), left_(left), piece_(piece) {}
  [[nodiscard]] uint64_t stream() const override { return stream_; }
  Pulled pull(std::span<std::byte> room) override {
    Pulled pulled;
    pulled.bytes = std::min({room.size(), left_, piece_});
    std::memset(room.data(), static_cast<int>(stream_), pulled.bytes);
    left_ -= pulled.bytes;
    pulled.flags = wire::channel_flags(wire::Channel::kStdout, left_ == 0);
    pulled.send = true;
    pulled.more = left_ > 0;
    return pulled;
  }

 private:
  uint64_t stream_;
  size_t left_;
  size_t piece_;
};

// Has what was printed into its pipe, and lets it be moved.
class Printed final : public Source {
 public:
  explicit Printed(uint64_t stream) : stream_(stream) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    read_end_.reset(ends[0]);
    write_end_.reset(ends[1]);
    REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, 1024 * 1024) >= 1024 * 1024);
  }
  void print(size_t bytes) {
    const std::string text(bytes, static_cast<char>(stream_));
    REQUIRE(write(write_end_.get(), text.data(), bytes) == static_cast<ssize_t>(bytes));
  }
  // Each piece has a page for itself.
  void print_in_pieces(size_t pieces, size_t piece) {
    REQUIRE(fcntl(write_end_.get(), F_SETFL, O_DIRECT | O_NONBLOCK) == 0);
    for (size_t i = 0; i < pieces; ++i) print(piece);
  }
  // Whatever it says it has, another process takes away.
  void lose_all() { lost_ = true; }

  [[nodiscard]] uint64_t stream() const override { return stream_; }
  Pulled pull(std::span<std::byte> room) override {
    const ssize_t got = read(read_end_.get(), room.data(), room.size());
    return result(got, got > 0);
  }
  Movable movable() override { return {in_pipe(), wire::channel_flags(wire::Channel::kStderr)}; }
  Pulled move(int pipe, size_t bytes) override {
    if (lost_) read_end_.reset();
    return result(splice(read_end_.get(), nullptr, pipe, nullptr, bytes, SPLICE_F_NONBLOCK), true);
  }

 private:
  [[nodiscard]] size_t in_pipe() const {
    int bytes = 0;
    return read_end_ && ioctl(read_end_.get(), FIONREAD, &bytes) == 0 ? static_cast<size_t>(bytes)
                                                                      : 0;
  }
  [[nodiscard]] Pulled result(ssize_t got, bool send) const {
    return {static_cast<size_t>(std::max<ssize_t>(got, 0)),
            wire::channel_flags(wire::Channel::kStderr), send, in_pipe() > 0};
  }

  uint64_t stream_;
  UniqueFd read_end_;
  UniqueFd write_end_;
  bool lost_ = false;
};

struct Seen {
  wire::Type type;
  uint64_t stream;
  size_t bytes;
  bool operator==(const Seen&) const = default;
};

// Takes what one write would take, at most `most` bytes, into the decoder.
bool write_once(OutputQueue& queue, wire::Decoder& decoder, size_t most = SIZE_MAX) {
  const auto front = queue.front();
  const size_t size = std::min(front.size, most);
  std::vector<std::byte> moved(front.moving() ? size : 0);
  if (front.moving()) REQUIRE(read(front.pipe, moved.data(), size) == static_cast<ssize_t>(size));
  std::span<const std::byte> bytes(front.moving() ? moved.data() : front.bytes, size);
  queue.consumed(size);
  const bool any = !bytes.empty();
  while (!bytes.empty()) {
    const auto room = decoder.space();
    const size_t part = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), part);
    decoder.fill(part);
    bytes = bytes.subspan(part);
  }
  return any;
}

std::vector<Seen> frames(wire::Decoder& decoder) {
  std::vector<Seen> all;
  wire::Frame frame;
  while (decoder.next(frame) == wire::Decoder::Status::kFrame) {
    all.push_back({frame.type, frame.stream, frame.payload.size()});
    if (frame.type == wire::Type::kData)
      CHECK(std::ranges::all_of(frame.payload,
                                [&](std::byte byte) { return byte == std::byte(frame.stream); }));
  }
  return all;
}

std::vector<Seen> drain(OutputQueue& queue, size_t most = SIZE_MAX) {
  wire::Decoder decoder(wire::Sender::kGuest);
  std::vector<Seen> all;
  while (write_once(queue, decoder, most)) {
    const auto some = frames(decoder);
    all.insert(all.end(), some.begin(), some.end());
  }
  CHECK(decoder.pending() == 0);
  return all;
}

}  // namespace

TEST_CASE("messages go before stream data and share a write with it") {
  OutputQueue queue;
  Supply supply(7, 100);
  queue.offer(supply);
  queue.push(wire::Type::kStarted, 0, 7, "xyz");
  wire::Decoder decoder(wire::Sender::kGuest);
  REQUIRE(write_once(queue, decoder));
  CHECK(frames(decoder) ==
        std::vector<Seen>{{wire::Type::kStarted, 7, 3}, {wire::Type::kData, 7, 100}});
  CHECK(queue.idle());
}

TEST_CASE("one stream's frame fills exactly one write") {
  OutputQueue queue;
  Supply supply(1, 1000000);
  queue.offer(supply);
  CHECK(queue.front().size == OutputQueue::kBatchBytes);
}

TEST_CASE("streams take turns, so a greedy one does not starve a small one") {
  OutputQueue queue;
  Supply greedy(1, 10 * OutputQueue::kBatchBytes);
  Supply small(2, 3000, 1000);
  queue.offer(greedy);
  queue.offer(small);
  const auto order = drain(queue);
  size_t small_seen = 0;
  for (size_t i = 0; i < 8; ++i) small_seen += order[i].stream == 2 ? 1 : 0;
  CHECK(small_seen == 3);
}

TEST_CASE("partial writes keep the byte stream whole") {
  OutputQueue queue;
  Supply first(1, 100000);
  Supply second(2, 50000, 700);
  queue.offer(first);
  queue.offer(second);
  queue.push(wire::Type::kExit, 0, 3, std::string(200000, 'x'));
  std::map<uint64_t, size_t> bytes;
  for (const Seen& seen : drain(queue, 1777)) bytes[seen.stream] += seen.bytes;
  CHECK(bytes == std::map<uint64_t, size_t>{{1, 100000}, {2, 50000}, {3, 200000}});
  CHECK(queue.idle());
}

TEST_CASE("a withdrawn source is not asked again and one offered twice is asked once a round") {
  OutputQueue queue;
  Supply gone(1, 100);
  Supply twice(2, 100, 50);
  queue.offer(gone);
  queue.offer(twice);
  queue.offer(twice);
  queue.withdraw(gone);
  queue.withdraw(gone);
  CHECK(drain(queue) == std::vector<Seen>{{wire::Type::kData, 2, 50}, {wire::Type::kData, 2, 50}});
}

TEST_CASE("much in a pipe is moved as one frame, which nothing comes between") {
  OutputQueue queue;
  queue.allow_moving();
  Printed printed(3);
  printed.print(wire::kMaxDataBytes + 1000);
  queue.offer(printed);
  const auto front = queue.front();
  CHECK(front.moving());
  CHECK(front.size == wire::kHeaderBytes + wire::kMaxDataBytes);
  wire::Decoder decoder(wire::Sender::kGuest);
  REQUIRE(write_once(queue, decoder, 5000));
  queue.push(wire::Type::kExit, 0, 4, "xyz");
  CHECK(queue.pending() ==
        wire::kHeaderBytes + wire::kMaxDataBytes - 5000 + wire::kHeaderBytes + 3);
  CHECK(frames(decoder).empty());
  std::vector<Seen> seen;
  while (write_once(queue, decoder, 5000)) {
    const auto some = frames(decoder);
    seen.insert(seen.end(), some.begin(), some.end());
  }
  CHECK(seen == std::vector<Seen>{{wire::Type::kData, 3, wire::kMaxDataBytes},
                                  {wire::Type::kExit, 4, 3},
                                  {wire::Type::kData, 3, 1000}});
  CHECK(queue.idle());
}

TEST_CASE("little in a pipe is copied and shares a write") {
  OutputQueue queue;
  queue.allow_moving();
  Printed first(1);
  Printed second(2);
  first.print(OutputQueue::kLeastMoved - 1);
  second.print(100);
  queue.offer(first);
  queue.offer(second);
  CHECK_FALSE(queue.front().moving());
  wire::Decoder decoder(wire::Sender::kGuest);
  REQUIRE(write_once(queue, decoder));
  CHECK(frames(decoder) == std::vector<Seen>{{wire::Type::kData, 1, OutputQueue::kLeastMoved - 1},
                                             {wire::Type::kData, 2, 100}});
}

TEST_CASE("nothing is moved where the port does not take pages") {
  OutputQueue queue;
  Printed printed(1);
  printed.print(500000);
  queue.offer(printed);
  CHECK_FALSE(queue.front().moving());
  size_t bytes = 0;
  for (const Seen& seen : drain(queue)) bytes += seen.bytes;
  CHECK(bytes == 500000);
}

TEST_CASE("streams whose bytes are moved take turns") {
  OutputQueue queue;
  queue.allow_moving();
  Printed first(1);
  Printed second(2);
  Supply third(3, 1000);
  first.print(200000);
  second.print(200000);
  for (Source* source :
       {static_cast<Source*>(&first), static_cast<Source*>(&second), static_cast<Source*>(&third)})
    queue.offer(*source);
  const auto order = drain(queue);
  REQUIRE(order.size() >= 4);
  CHECK(order[0] == Seen{wire::Type::kData, 1, wire::kMaxDataBytes});
  CHECK(order[1] == Seen{wire::Type::kData, 2, wire::kMaxDataBytes});
  CHECK(order[2] == Seen{wire::Type::kData, 3, 1000});
  CHECK(order[3].stream == 1);
}

TEST_CASE("a frame that could be moved in part only says what it has") {
  OutputQueue queue;
  queue.allow_moving();
  Printed pieces(1);
  pieces.print_in_pieces(200, 100);
  queue.offer(pieces);
  const auto seen = drain(queue);
  REQUIRE(seen.size() > 1);
  CHECK(seen[0].bytes < OutputQueue::kLeastMoved);
  size_t bytes = 0;
  for (const Seen& frame : seen) bytes += frame.bytes;
  CHECK(bytes == 20000);

  Printed lost(2);
  lost.print(50000);
  lost.lose_all();
  queue.offer(lost);
  CHECK(drain(queue).empty());
  CHECK(queue.idle());
}

TEST_CASE("a frame that the port refuses to move is copied from where it is") {
  OutputQueue queue;
  queue.allow_moving();
  Printed printed(1);
  printed.print(200000);
  queue.offer(printed);
  wire::Decoder decoder(wire::Sender::kGuest);
  REQUIRE(queue.front().moving());
  REQUIRE(write_once(queue, decoder, 3000));
  queue.stop_moving();
  size_t bytes = 0;
  do {
    CHECK_FALSE(queue.front().moving());
    for (const Seen& seen : frames(decoder)) bytes += seen.bytes;
  } while (write_once(queue, decoder));
  CHECK(bytes == 200000);
  CHECK(queue.idle());
}

TEST_CASE("send credit refuses a grant of nothing and one beyond the window") {
  agent::SendCredit credit;
  CHECK_FALSE(credit.grant(1));
  credit.spend(1000);
  CHECK_FALSE(credit.grant(0));
  CHECK_FALSE(credit.grant(1001));
  CHECK(credit.grant(1000));
  CHECK(credit.left() == wire::kInitialCredit);
}

TEST_CASE("receive credit is granted back in large pieces and never withholds a quarter") {
  agent::ReceiveCredit credit;
  REQUIRE(credit.receive(wire::kInitialCredit));
  CHECK_FALSE(credit.receive(1));
  credit.consume(agent::ReceiveCredit::kGrantBytes - 1);
  CHECK(credit.take_grant() == 0);
  credit.consume(1);
  CHECK(credit.take_grant() == agent::ReceiveCredit::kGrantBytes);
  CHECK(credit.take_grant() == 0);
  CHECK(credit.receive(agent::ReceiveCredit::kGrantBytes));
  CHECK_FALSE(credit.receive(1));
}
