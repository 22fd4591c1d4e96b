// The library against a guest that breaks one rule of docs/guest-protocol.md before any command
// runs (guest_scripts.cpp).
#include <chrono>

#include "host.h"
#include "support/catch.h"
#include "support/footprint.h"

namespace vmette_test {
namespace {

struct Case {
  const char* script;
  const char* message;  // part of the end message
};

constexpr Case kFraming[] = {
    {"garbage", "must not send"},
    {"http", "must not send"},
    {"length-of-4-gib", "announced a HELLO frame of 4294967295 bytes; the limit is 262144"},
    {"message-too-long", "announced a HELLO frame of 262145 bytes; the limit is 262144"},
    {"data-too-long", "announced a DATA frame of 65537 bytes; the limit is 65536"},
    {"type-0", "of type 0x0000, which it must not send"},
    {"type-unknown", "of type 0x007f, which it must not send"},
    {"type-of-the-host", "of type SETUP, which it must not send"},
    {"flags-on-a-message", "HELLO frame with flags 1"},
    {"flags-reserved", "DATA frame with flags 513"},
    {"channel-unknown", "DATA frame with flags 3"},
    {"eof-on-credit", "CREDIT frame with flags 256"},
    {"silence", "not ready after 1500 ms (stage: kernel)"},
    {"closed", "control stream ended"},
    {"half-a-header", "control stream ended"},
    {"slow-loris", "not ready after 1500 ms (stage: kernel)"},
};

constexpr Case kHello[] = {
    {"ready-first", "its first frame is not HELLO"},
    {"data-first", "its first frame is not HELLO"},
    {"hello-on-a-stream", "its first frame is not HELLO"},
    {"hello-empty", "its HELLO is wrong: malformed CBOR"},
    {"hello-truncated", "its HELLO is wrong"},
    {"hello-trailing", "its HELLO is wrong: bytes follow the end"},
    {"hello-no-map", "its HELLO is wrong: a message must be a map"},
    {"hello-too-deep", "its HELLO is wrong: a message is nested too deeply"},
    {"hello-huge-list", "its HELLO is wrong: a list runs past the end"},
    {"hello-huge-map", "its HELLO is wrong: a list runs past the end"},
    {"hello-huge-text", "its HELLO is wrong: a string runs past the end"},
    {"hello-indefinite", "its HELLO is wrong: malformed CBOR"},
    {"hello-tagged", "its HELLO is wrong: a message holds a CBOR tag"},
    {"hello-many-items", "its HELLO is wrong: too many items"},
    {"hello-wrong-type", "field \"generation\" is not an integer"},
    {"hello-negative", "field \"generation\" is not in range"},
    {"hello-out-of-range", "field \"generation\" is not in range"},
    {"hello-number-key", "its HELLO is wrong"},
    {"hello-float", "field \"generation\" is not an integer"},
    {"generation-too-old", "speaks protocol generations 0 to 0, this library 1 to 1"},
    {"generation-too-new", "speaks protocol generations 98 to 99, this library 1 to 1"},
    {"generation-upside-down", "speaks protocol generations 4000000000 to 1"},
};

constexpr Case kSetup[] = {
    {"hello-twice", "it sent HELLO out of order"},
    {"bye-in-setup", "it sent BYE out of order"},
    {"command-frame-in-setup", "it sent STARTED on stream 1, which is not open"},
    {"ready-truncated", "its READY is wrong"},
    {"ready-too-many-steps", "its READY has too many steps"},
    {"ready-steps-no-list", "field \"steps\" is not an array"},
    {"error-truncated", "its ERROR is wrong"},
    {"error-hostile-text", "the guest could not set itself up:  [2J"},
    {"no-ready", "not ready after 1500 ms (stage: root)"},
    {"ready-twice", "it sent READY out of order"},
    {"hello-again-when-ready", "it sent HELLO out of order"},
    {"error-when-ready", "it sent ERROR out of order"},
    {"bye-unasked", "it sent BYE out of order"},
    {"quiesced-unasked", "it sent QUIESCED out of order"},
    {"stream-unknown", "it sent STARTED on stream 7, which is not open"},
    {"stream-largest", "on stream 18446744073709551615, which is not open"},
    {"data-on-stream-0", "it sent DATA out of order"},
    {"result-unasked", "it sent RESULT on stream 3, which is not open"},
    {"deaf-and-talking", "it sent BYE out of order"},
};

template <size_t N>
void check_all(const Case (&cases)[N]) {
  for (const Case& rule : cases) {
    const NothingIsLeft before;
    {
      vmette::Session session = launch(rule.script);
      const std::string message = end_of(session);
      INFO(rule.script << ": " << message);
      CHECK(message.find(rule.message) != std::string::npos);
      CHECK(is_one_clear_line(message));
      CHECK(session.end() == vmette::End::kError);
      CHECK(session.exit_code() == 1);
    }
    INFO(rule.script);
    CHECK(before.holds());
  }
}

}  // namespace

TEST_CASE("A guest that breaks the framing ends its session with one line") {
  check_all(kFraming);
}

TEST_CASE("A guest whose first message is wrong ends its session with one line") {
  check_all(kHello);
}

TEST_CASE("A guest that breaks the order of the start ends its session with one line") {
  check_all(kSetup);
}

TEST_CASE("A guest that breaks every rule in turn makes the host no larger") {
  if (!kMemoryIsMeasurable) return;
  const auto once = [] {
    for (const char* script : {"garbage", "hello-too-deep", "hello-many-items", "hello-huge-list"})
      for (int i = 0; i < 5; ++i) {
        vmette::Session session = launch(script);
        CHECK(end_of(session) != "HUNG");
      }
  };
  once();
  const std::uint64_t before = resident_kib();
  for (int i = 0; i < 4; ++i) once();
  CHECK(resident_kib() < before + 4096);
}

TEST_CASE("A guest that sends every frame byte by byte is a slow and legal guest") {
  vmette::Session session = ready_session("byte-by-byte");
  CHECK(session.kill());
  CHECK(session.end() == vmette::End::kStopped);
}

TEST_CASE("A guest that claims absurd times and names gets a timeline in order and within now") {
  vmette::Session session = ready_session("ready-absurd");
  uint64_t last = 0;
  const size_t count = session.timeline_count();
  REQUIRE(count >= 6);
  for (size_t i = 0; i < count; ++i) {
    const auto entry = session.timeline(i);
    const auto at = static_cast<uint64_t>(entry.at.count());
    INFO(entry.name << " at " << at);
    CHECK(at >= last);
    CHECK(at < uint64_t{3600} * 1'000'000);
    CHECK(entry.name.size() < 64);
    CHECK((entry.name.empty() || is_one_clear_line(entry.name)));
    last = at;
  }
}

}  // namespace vmette_test
