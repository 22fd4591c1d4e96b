// The library against a broken helper (helper_scripts.cpp).
#include <chrono>

#include "host.h"
#include "support/catch.h"
#include "support/footprint.h"

namespace vmette_test {
namespace {

using std::chrono::milliseconds;

struct Case {
  const char* script;
  const char* message;
};

constexpr Case kLines[] = {
    {"helper-garbage", "it sent a line that is no JSON object"},
    {"helper-no-object", "it sent a line that is no JSON object"},
    {"helper-empty-line", "it sent a line that is no JSON object"},
    {"helper-long-line", "a line is longer than 1 MiB"},
    {"helper-deep", "it sent a line that is no JSON object"},
    {"helper-deep-whole", "it sent a line that is no JSON object"},
    {"helper-unknown-id", "it answered a request that was never made"},
    {"helper-negative-id", "it answered a request that was never made"},
    {"helper-text-id", "it answered a request that was never made"},
    {"helper-no-answer-no-event", "it answered a request that was never made"},
    {"helper-event-of-no-text", "not ready after 1500 ms (stage: create)"},
    {"helper-failed", "line break"},
    {"helper-failed-types", "helper process failed and did not say why"},
    {"helper-stopped-early", "the machine ended: the hypervisor ended by itself"},
    {"helper-ok-no-object", "its answer's \"ok\" is no JSON object"},
    {"helper-ok-types", "not ready after 1500 ms"},
    {"helper-error-no-object", "its answer has neither \"ok\" nor \"error\""},
    {"helper-error-types", "helper process failed and did not say why"},
    {"helper-answers-twice", "it answered a request that was never made"},
    {"helper-dies-at-create", "it ended"},
    {"helper-dies-at-start", "it ended"},
    {"helper-dies-at-boot", "it ended"},
    {"helper-hangs-at-create", "not ready after 1500 ms (stage: create)"},
    {"helper-hangs-at-start", "not ready after 1500 ms (stage: start)"},
    {"helper-two-channels", "announced a second control stream"},
    {"helper-channel-without-descriptor", "announced the control stream without a descriptor"},
    {"helper-later-garbage", "it sent a line that is no JSON object"},
    {"helper-later-stopped-types", "the machine ended: the hypervisor ended by itself"},
};

}  // namespace

TEST_CASE("A broken helper ends the session with one line and is gone with it") {
  for (const Case& fault : kLines) {
    const NothingIsLeft before;
    {
      vmette::Session session = launch(fault.script);
      const std::string message = end_of(session);
      INFO(fault.script << ": " << message);
      CHECK(message.find(fault.message) != std::string::npos);
      CHECK(is_one_clear_line(message));
      CHECK(session.end() == vmette::End::kError);
    }
    INFO(fault.script);
    CHECK(before.holds());
  }
}

TEST_CASE("An event of a helper that nobody knows, or that says nothing, is passed over") {
  for (const char* script :
       {"helper-later-unknown-event", "helper-later-bad-console", "helper-later-console-types"}) {
    vmette::Session session = ready_session(script);
    const auto ended = session.wait(milliseconds(100));
    INFO(script);
    CHECK(!ended);
    CHECK(session.kill());
    CHECK(session.end() == vmette::End::kStopped);
  }
}

TEST_CASE("A helper that dies under a running command ends session and command") {
  vmette::Session session = ready_session("helper-dies-when-ready");
  vmette::Process process = exec_with_pipes(session);
  CHECK(end_of(session).find("it ended") != std::string::npos);
  const auto ended = process.wait(milliseconds(0));
  REQUIRE(!ended);
  CHECK(ended.error().code() == vmette::ErrorCode::kSessionEnded);
}

TEST_CASE("A helper that does not leave when it is let go is killed") {
  const NothingIsLeft before;
  {
    vmette::Session session = ready_session("helper-does-not-leave");
    CHECK(session.kill());
    CHECK(session.end() == vmette::End::kStopped);
  }
  CHECK(before.holds());
}

TEST_CASE("A helper that never answers a pause costs its session and not the caller's thread") {
  vmette::Session session = ready_session("helper-hangs-at-pause");
  const auto paused = session.pause();
  REQUIRE(!paused);
  CHECK(is_one_clear_line(paused.error().message()));
  CHECK(end_of(session) != "HUNG");
}

TEST_CASE("A console that never stops costs bounded memory and delays nobody") {
  vmette::Session session = ready_session("helper-console-flood");
  reset_peak_kib();
  const std::uint64_t before = resident_kib();
  vmette::Session other = ready_session("good");
  const auto ended = session.wait(milliseconds(300));
  CHECK(!ended);
  const auto console = session.console();
  REQUIRE(console);
  CHECK(console.value().data().size() <= 65536);
  if (kMemoryIsMeasurable) CHECK(peak_kib() < before + 16384);
  CHECK(other.kill());
  CHECK(session.kill());
}

TEST_CASE("A helper that cannot be run is an error of the launch") {
  for (const char* program : {"/etc/passwd", "/nonexistent/vmette-vmm"}) {
    vmette::Config config;
    config.set_helper(program).set_kernel(VMETTE_TEST_HELPER).set_initramfs(VMETTE_TEST_HELPER);
    auto session = vmette::Session::create(config);
    if (!session) continue;
    CHECK(!session.value().launch());
  }
}

}  // namespace vmette_test
