#include "output_queue.h"

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

struct Seen {
  wire::Type type;
  uint64_t stream;
  size_t bytes;
  bool operator==(const Seen&) const = default;
};

// Takes what one write would take, at most `most` bytes, into the decoder.
bool write_once(OutputQueue& queue, wire::Decoder& decoder, size_t most = SIZE_MAX) {
  auto bytes = queue.front();
  bytes = bytes.first(std::min(bytes.size(), most));
  queue.consumed(bytes.size());
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
  while (decoder.next(frame) == wire::Decoder::Status::kFrame)
    all.push_back({frame.type, frame.stream, frame.payload.size()});
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
  CHECK(queue.front().size() == OutputQueue::kBatchBytes);
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
