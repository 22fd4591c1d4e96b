// What a hostile guest does before any command runs. One rule of docs/guest-protocol.md each.
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <thread>

#include "peer.h"

namespace vmette_test {
namespace {

using nlohmann::json;
using vmette::wire::Channel;
using vmette::wire::Hello;
using vmette::wire::Ready;
using vmette::wire::Type;

constexpr uint16_t number(Type type) {
  return static_cast<uint16_t>(type);
}

std::string cbor(const json& value) {
  std::string out;
  json::to_cbor(value, out);
  return out;
}

// A script that sends one HELLO with this payload.
GuestScript hello_of(std::string payload) {
  return
      [payload = std::move(payload)](FakeGuest& guest) { guest.frame(Type::kHello, 0, payload); };
}

GuestScript first_header(uint32_t length, uint16_t type, uint16_t flags = 0, uint64_t stream = 0) {
  return [=](FakeGuest& guest) { guest.header(length, type, flags, stream); };
}

// A script that boots as far as SETUP and then sends one frame.
GuestScript in_setup(Type type, std::string payload, uint64_t stream = 0) {
  return [=](FakeGuest& guest) {
    guest.hello();
    guest.await(Type::kSetup);
    guest.frame(type, stream, payload);
  };
}

GuestScript when_ready(Type type, std::string payload, uint64_t stream = 0, uint16_t flags = 0) {
  return [=](FakeGuest& guest) {
    guest.boot();
    guest.frame(type, stream, payload, flags);
  };
}

std::string hello_with(uint32_t newest, uint32_t oldest) {
  Hello hello;
  hello.generation = newest;
  hello.oldest_generation = oldest;
  return encode(hello);
}

Ready ready_with(size_t steps) {
  Ready ready;
  for (size_t i = 0; i < steps; ++i) ready.steps.push_back({"step", i});
  return ready;
}

void absurd_ready(FakeGuest& guest) {
  Hello hello;
  hello.generation = hello.oldest_generation = 1;
  hello.start_us = std::numeric_limits<uint64_t>::max();
  hello.now_us = std::numeric_limits<uint64_t>::max() - 1;
  hello.agent_version = std::string(1000, '\xff');
  guest.frame(Type::kHello, 0, encode(hello));
  guest.await(Type::kSetup);
  Ready ready;
  ready.now_us = std::numeric_limits<uint64_t>::max();
  ready.steps = {{"\xff\xfe\n\x1b[2J", 0},
                 {std::string(100'000, 'x'), std::numeric_limits<uint64_t>::max()},
                 {"", 1}};
  guest.frame(Type::kReady, 0, encode(ready));
}

// One byte at a time for ever, and never a whole frame.
void slow_loris(FakeGuest& guest) {
  guest.header(200'000, number(Type::kHello), 0, 0);
  for (;;) {
    guest.raw("x");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// A whole boot, byte by byte: slow, and legal.
void byte_by_byte(FakeGuest& guest) {
  std::string bytes;
  vmette::wire::append_frame(bytes, Type::kHello, 0, 0, hello_with(1, 1));
  for (const char& byte : bytes) guest.raw({&byte, 1});
  guest.await(Type::kSetup);
  bytes.clear();
  vmette::wire::append_frame(bytes, Type::kReady, 0, 0, encode(ready_with(3)));
  for (const char& byte : bytes) guest.raw({&byte, 1});
}

void deaf_and_talking(FakeGuest& guest) {
  guest.boot();
  ::shutdown(guest.fd(), SHUT_RD);
  for (;;) {
    guest.frame(Type::kBye, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

std::map<std::string, GuestScript> framing() {
  return {
      {"garbage", [](FakeGuest& guest) { guest.raw(std::string(100'000, '\xa5')); }},
      {"http", [](FakeGuest& guest) { guest.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n"); }},
      {"length-of-4-gib", first_header(0xffff'ffff, number(Type::kHello))},
      {"message-too-long", first_header(256 * 1024 + 1, number(Type::kHello))},
      {"data-too-long", first_header(64 * 1024 + 1, number(Type::kData), 1, 1)},
      {"type-0", first_header(0, 0)},
      {"type-unknown", first_header(0, 0x7f)},
      {"type-of-the-host", first_header(0, number(Type::kSetup))},
      {"flags-on-a-message", first_header(0, number(Type::kHello), 1)},
      {"flags-reserved", first_header(0, number(Type::kData), 0x0201, 1)},
      {"channel-unknown", first_header(0, number(Type::kData), 3, 1)},
      {"eof-on-credit", first_header(4, number(Type::kCredit), 0x0100, 1)},
      {"silence", [](FakeGuest&) {}},
      {"closed", [](FakeGuest& guest) { guest.close(); }},
      {"half-a-header",
       [](FakeGuest& guest) {
         guest.raw("\x01\x02\x03");
         guest.close();
       }},
      {"slow-loris", slow_loris},
      {"byte-by-byte", byte_by_byte},
  };
}

std::map<std::string, GuestScript> hello() {
  return {
      {"ready-first", [](FakeGuest& guest) { guest.frame(Type::kReady, 0, encode(Ready{})); }},
      {"data-first", [](FakeGuest& guest) { guest.data(1, "x", Channel::kStdout); }},
      {"hello-on-a-stream",
       [](FakeGuest& guest) { guest.frame(Type::kHello, 1, hello_with(1, 1)); }},
      {"hello-empty", hello_of("")},
      {"hello-truncated", hello_of(hello_with(1, 1).substr(0, 20))},
      {"hello-trailing", hello_of(hello_with(1, 1) + "x")},
      {"hello-no-map", hello_of(cbor(json::array({1})))},
      {"hello-too-deep", hello_of(std::string(100'000, '\x81'))},
      {"hello-huge-list", hello_of("\x9b\x7f\xff\xff\xff\xff\xff\xff\xff")},
      {"hello-huge-map", hello_of("\xbb\x80\xff\xff\xff\xff\xff\xff\xff")},
      {"hello-huge-text", hello_of("\x7b\xff\xff\xff\xff\xff\xff\xff\xff")},
      {"hello-indefinite", hello_of("\xbf\x61\x61\x01\xff")},
      {"hello-tagged", hello_of("\xc1\x01")},
      {"hello-many-items", hello_of(cbor({{"x", json(std::vector<int>(65'600, 0))}}))},
      {"hello-wrong-type", hello_of(cbor({{"generation", "one"}}))},
      {"hello-negative", hello_of(cbor({{"generation", -1}}))},
      {"hello-out-of-range", hello_of(cbor({{"generation", uint64_t{1} << 40}}))},
      {"hello-number-key", hello_of("\xa1\x01\x01")},
      {"hello-float", hello_of(cbor({{"generation", 1.5}}))},
      {"generation-too-old", hello_of(hello_with(0, 0))},
      {"generation-too-new", hello_of(hello_with(99, 98))},
      {"generation-upside-down", hello_of(hello_with(1, 4'000'000'000U))},
  };
}

std::map<std::string, GuestScript> setup() {
  const std::string again = hello_with(1, 1);
  return {
      {"hello-twice", in_setup(Type::kHello, again)},
      {"bye-in-setup", in_setup(Type::kBye, "")},
      {"command-frame-in-setup", in_setup(Type::kStarted, "", 1)},
      {"ready-truncated", in_setup(Type::kReady, "\xa1")},
      {"ready-too-many-steps", in_setup(Type::kReady, encode(ready_with(33)))},
      {"ready-steps-no-list", in_setup(Type::kReady, cbor({{"steps", 1}}))},
      {"error-truncated", in_setup(Type::kError, "\xa1")},
      {"error-hostile-text",
       in_setup(Type::kError,
                encode(vmette::wire::Failure{"\xff\n", -2'000'000'000, std::string(9000, '\x80'),
                                             "\x1b[2J\xed\xa0\x80\xc0\x80 line\nbreak"}))},
      {"no-ready",
       [](FakeGuest& guest) {
         guest.hello();
         guest.await(Type::kSetup);
       }},
      {"ready-absurd", absurd_ready},
      {"ready-twice", when_ready(Type::kReady, encode(Ready{}))},
      {"hello-again-when-ready", when_ready(Type::kHello, again)},
      {"error-when-ready", when_ready(Type::kError, encode(vmette::wire::Failure{}))},
      {"bye-unasked", when_ready(Type::kBye, "")},
      {"quiesced-unasked", when_ready(Type::kQuiesced, "")},
      {"stream-unknown", when_ready(Type::kStarted, "", 7)},
      {"stream-largest", when_ready(Type::kExit, "", std::numeric_limits<uint64_t>::max())},
      {"data-on-stream-0", when_ready(Type::kData, "x", 0, 1)},
      {"result-unasked", when_ready(Type::kResult, "\xa0", 3)},
      {"deaf-and-talking", deaf_and_talking},
      {"good", [](FakeGuest& guest) { guest.boot(); }},
  };
}

}  // namespace

const std::map<std::string, GuestScript>& guest_scripts() {
  static const auto all = [] {
    auto scripts = framing();
    scripts.merge(hello());
    scripts.merge(setup());
    return scripts;
  }();
  return all;
}

}  // namespace vmette_test
