#include "wire/codec.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/text.h"

using vmette::wire::append_frame;
using vmette::wire::Channel;
using vmette::wire::channel_flags;
using vmette::wire::Decoder;
using vmette::wire::Frame;
using vmette::wire::kFlagEof;
using vmette::wire::kHeaderBytes;
using vmette::wire::kMaxDataBytes;
using vmette::wire::kMaxGuestMessageBytes;
using vmette::wire::kMaxHostMessageBytes;
using vmette::wire::may_send;
using vmette::wire::Sender;
using vmette::wire::Type;
using vmette::wire::type_name;
using vmette_test::contains;

namespace {

using Status = Decoder::Status;

constexpr Type kTypes[] = {Type::kHello,    Type::kSetup,    Type::kReady,   Type::kError,
                           Type::kShutdown, Type::kBye,      Type::kExec,    Type::kStarted,
                           Type::kData,     Type::kCredit,   Type::kExit,    Type::kClose,
                           Type::kSignal,   Type::kCall,     Type::kResize,  Type::kResult,
                           Type::kWake,     Type::kQuiesced, Type::kQuiesce, Type::kThaw};

std::string frame(Type type, uint16_t flags, uint64_t stream, std::string_view payload) {
  std::string out;
  append_frame(out, type, flags, stream, payload);
  return out;
}

// The header alone, announcing `length` bytes.
std::string header(uint32_t length, uint16_t type, uint16_t flags = 0) {
  std::byte raw[kHeaderBytes];
  vmette::wire::put_header(raw, length, static_cast<Type>(type), flags, 1);
  return {reinterpret_cast<const char*>(raw), sizeof raw};
}

struct Cut {
  Type type;
  uint16_t flags;
  uint64_t stream;
  std::string payload;
};

// Feeds `bytes` in pieces of at most `piece` and collects what comes out. The last status is in
// `status`.
std::vector<Cut> feed(Decoder& decoder, std::string_view bytes, size_t piece, Status& status) {
  std::vector<Cut> frames;
  Frame next;
  status = Status::kMore;
  while (status != Status::kBroken) {
    while ((status = decoder.next(next)) == Status::kFrame)
      frames.push_back({next.type,
                        next.flags,
                        next.stream,
                        {reinterpret_cast<const char*>(next.payload.data()), next.payload.size()}});
    if (bytes.empty() || status == Status::kBroken) break;
    const auto room = decoder.space();
    const size_t count = std::min({piece, room.size(), bytes.size()});
    std::memcpy(room.data(), bytes.data(), count);
    decoder.fill(count);
    bytes.remove_prefix(count);
  }
  return frames;
}

Status feed_all(Decoder& decoder, std::string_view bytes) {
  Status status{};
  feed(decoder, bytes, bytes.size(), status);
  return status;
}

std::string error_of(Sender sender, std::string_view bytes) {
  Decoder decoder(sender);
  return feed_all(decoder, bytes) == Status::kBroken ? decoder.error() : std::string();
}

}  // namespace

TEST_CASE("frames of every type come back unchanged, however the stream is cut") {
  for (const Sender sender : {Sender::kGuest, Sender::kHost}) {
    std::string stream;
    std::vector<Cut> sent;
    uint64_t id = 0;
    for (const Type type : kTypes) {
      if (!may_send(sender, type)) continue;
      const uint16_t flags = type == Type::kData ? channel_flags(Channel::kStderr, true) : 0;
      sent.push_back({type, flags, id, std::string(id * 7 % 50, static_cast<char>(id))});
      append_frame(stream, type, flags, id, sent.back().payload);
      id = id * 31 + 0x0102030405060708;
    }
    for (const size_t piece : {size_t{1}, size_t{3}, size_t{17}, stream.size()}) {
      Decoder decoder(sender);
      Status status{};
      const auto got = feed(decoder, stream, piece, status);
      CHECK(status == Status::kMore);
      CHECK(decoder.pending() == 0);
      REQUIRE(got.size() == sent.size());
      for (size_t i = 0; i < sent.size(); ++i) {
        CHECK(got[i].type == sent[i].type);
        CHECK(got[i].flags == sent[i].flags);
        CHECK(got[i].stream == sent[i].stream);
        CHECK(got[i].payload == sent[i].payload);
      }
    }
  }
}

TEST_CASE("a frame's bytes are the ones the protocol page names") {
  const std::string bytes = frame(Type::kData, channel_flags(Channel::kStdout, true), 5, "hi");
  CHECK(bytes == std::string("\x02\0\0\0\x12\0\x01\x01\x05\0\0\0\0\0\0\0hi", 18));
}

TEST_CASE("a payload of the limit is a frame and one byte more breaks the stream") {
  struct Limit {
    Sender sender;
    Type type;
    uint32_t most;
  };
  const Limit limits[] = {{Sender::kGuest, Type::kData, kMaxDataBytes},
                          {Sender::kHost, Type::kData, kMaxDataBytes},
                          {Sender::kGuest, Type::kReady, kMaxGuestMessageBytes},
                          {Sender::kHost, Type::kExec, kMaxHostMessageBytes}};
  for (const Limit& limit : limits) {
    Decoder decoder(limit.sender);
    Status status{};
    const auto got = feed(decoder, frame(limit.type, 0, 1, std::string(limit.most, 'x')),
                          size_t{1} << 20, status);
    REQUIRE(got.size() == 1);
    CHECK(got[0].payload.size() == limit.most);

    const std::string error =
        error_of(limit.sender, header(limit.most + 1, static_cast<uint16_t>(limit.type)));
    INFO(error);
    CHECK(contains(error, std::to_string(limit.most + 1)));
    CHECK(contains(error, std::to_string(limit.most)));
    CHECK(contains(error, type_name(static_cast<uint16_t>(limit.type))));
  }
}

TEST_CASE("the decoder's memory follows only a length that it has accepted") {
  Decoder refused(Sender::kGuest);
  CHECK(feed_all(refused, header(0xffffffff, static_cast<uint16_t>(Type::kReady))) ==
        Status::kBroken);
  CHECK(refused.space().size() < kMaxGuestMessageBytes);

  Decoder accepted(Sender::kGuest);
  CHECK(feed_all(accepted, header(kMaxGuestMessageBytes, static_cast<uint16_t>(Type::kReady))) ==
        Status::kMore);
  CHECK(accepted.space().size() >= kMaxGuestMessageBytes);
  CHECK(accepted.space().size() <= kMaxGuestMessageBytes + kHeaderBytes);
}

TEST_CASE("each side may send its own types and no other") {
  size_t from_guest = 0;
  size_t from_host = 0;
  for (uint32_t number = 0; number <= 0xffff; ++number) {
    const auto type = static_cast<uint16_t>(number);
    const bool known = std::find(std::begin(kTypes), std::end(kTypes), static_cast<Type>(type)) !=
                       std::end(kTypes);
    const bool guest = may_send(Sender::kGuest, static_cast<Type>(type));
    const bool host = may_send(Sender::kHost, static_cast<Type>(type));
    if (known != (guest || host)) FAIL("type " << type << " is known to one and not to the other");
    from_guest += guest ? 1 : 0;
    from_host += host ? 1 : 0;
  }
  CHECK(from_guest == 10);
  CHECK(from_host == 12);
  CHECK(contains(error_of(Sender::kGuest, frame(Type::kExec, 0, 1, "")), "EXEC"));
  CHECK(contains(error_of(Sender::kHost, frame(Type::kHello, 0, 0, "")), "HELLO"));
  CHECK(contains(error_of(Sender::kGuest, header(0, 0x7f)), "0x007f"));
}

TEST_CASE("flags that a frame must not carry break the stream") {
  const auto accepts = [](Type type, uint16_t flags) {
    return error_of(Sender::kHost, frame(type, flags, 1, "")).empty();
  };
  for (uint16_t channel = 0; channel <= 2; ++channel) {
    CHECK(accepts(Type::kData, channel));
    CHECK(accepts(Type::kData, static_cast<uint16_t>(channel | kFlagEof)));
    CHECK(accepts(Type::kCredit, channel));
    CHECK(accepts(Type::kClose, channel));
  }
  CHECK_FALSE(accepts(Type::kData, 3));
  CHECK_FALSE(accepts(Type::kData, 0xff));
  CHECK_FALSE(accepts(Type::kData, 0x0200));
  CHECK_FALSE(accepts(Type::kData, 0x8000));
  CHECK_FALSE(accepts(Type::kCredit, kFlagEof));
  CHECK_FALSE(accepts(Type::kClose, 3));
  CHECK_FALSE(accepts(Type::kExec, 1));
  CHECK_FALSE(accepts(Type::kSetup, kFlagEof));
}

TEST_CASE("a broken stream stays broken and keeps its first reason") {
  Decoder decoder(Sender::kGuest);
  REQUIRE(feed_all(decoder, header(0, 0x7f)) == Status::kBroken);
  const std::string reason = decoder.error();
  CHECK(feed_all(decoder, frame(Type::kBye, 0, 0, "")) == Status::kBroken);
  CHECK(decoder.error() == reason);
  CHECK(!contains(reason, "\n"));
}

TEST_CASE("frames before a broken one still come out") {
  Decoder decoder(Sender::kGuest);
  Status status{};
  const std::string bytes =
      frame(Type::kBye, 0, 0, "") + frame(Type::kStarted, 0, 1, "abc") + header(0, 0x99);
  CHECK(feed(decoder, bytes, 5, status).size() == 2);
  CHECK(status == Status::kBroken);
}

TEST_CASE("random bytes never crash the decoder or make it hold more than its bound") {
  std::mt19937 random(20);
  for (int round = 0; round < 2000; ++round) {
    const Sender sender = round % 2 == 0 ? Sender::kGuest : Sender::kHost;
    std::string bytes;
    // Half of them start like a frame, so that they get past the header.
    if (random() % 2 == 0)
      bytes = header(random() % 600, static_cast<uint16_t>(random() % 0x34), random() % 3);
    const size_t tail = random() % 700;
    for (size_t i = 0; i < tail; ++i) bytes += static_cast<char>(random());
    Decoder decoder(sender);
    Status status{};
    const auto frames = feed(decoder, bytes, 1 + random() % 64, status);
    size_t out = 0;
    for (const Cut& cut : frames) out += kHeaderBytes + cut.payload.size();
    REQUIRE(out <= bytes.size());
    if (status == Status::kBroken) REQUIRE_FALSE(decoder.error().empty());
    if (status == Status::kMore) REQUIRE(out + decoder.pending() == bytes.size());
  }
}

TEST_CASE("credit is four bytes and everything else is none") {
  const auto decode = [](const std::string& bytes) {
    return vmette::wire::decode_credit(std::as_bytes(std::span(bytes.data(), bytes.size())));
  };
  CHECK(vmette::wire::encode_credit(0x01020304) == "\x04\x03\x02\x01");
  for (const uint32_t grant : {1U, 65536U, 0xffffffffU})
    CHECK(decode(vmette::wire::encode_credit(grant)) == grant);
  CHECK(decode("") == 0);
  CHECK(decode("abc") == 0);
  CHECK(decode("abcde") == 0);
}
