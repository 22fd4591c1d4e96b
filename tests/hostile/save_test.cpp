// Saves whose guest or helper breaks the rules.
#include <filesystem>
#include <string>

#include "host.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/text.h"

namespace vmette_test {
namespace {

using vmette::ErrorCode;

vmette::Session session_to_save(const std::string& script) {
  vmette::Config config;
  config.set_helper(VMETTE_TEST_HELPER)
      .set_kernel(VMETTE_TEST_HELPER)
      .set_initramfs(VMETTE_TEST_HELPER)
      .set_cmdline(script)
      .set_snapshottable(true);
  auto session = vmette::Session::create(config);
  REQUIRE(session);
  const auto started = session.value().start();
  INFO((started ? std::string() : std::string(started.error().message())));
  REQUIRE(started);
  return std::move(session).value();
}

vmette::Error refusal(vmette::Session& session, const TempDir& dir) {
  const auto saved = session.snapshot(dir / "one");
  REQUIRE_FALSE(saved);
  INFO(saved.error().message());
  CHECK(is_one_clear_line(saved.error().message()));
  return saved.error();
}

struct Rule {
  const char* script;
  const char* says;  // a part of the session's end
};

constexpr Rule kRules[] = {
    {"save-quiesced-twice", "QUIESCED out of order"},
    {"save-quiesced-truncated", "its QUIESCED is wrong"},
    {"save-hello-instead", "HELLO out of order"},
    {"save-data-from-nowhere", "stream 77, which is not open"},
    {"save-speaks-while-still", "stream 77, which is not open"},
    {"save-wake-refused", "could not go on after it was saved: no way (/x)"},
    {"save-wake-flooded", "it did not answer WAKE"},
    {"save-other-nonces", "it did not answer WAKE"},
};

}  // namespace

TEST_CASE("A guest that breaks a rule in the middle of a save ends the session") {
  for (const Rule& rule : kRules) {
    INFO(rule.script);
    const NothingIsLeft before;
    const TempDir dir;
    {
      vmette::Session session = session_to_save(rule.script);
      CHECK(refusal(session, dir).code() == ErrorCode::kSessionEnded);
      CHECK(contains(end_of(session), rule.says));
    }
    CHECK(std::filesystem::is_empty(dir.path()));
    CHECK(before.holds());
  }
}

TEST_CASE("A guest that cannot stand still, and a helper that says nothing, leave the session be") {
  for (const char* script : {"save-busy", "save-says-nothing-of-it"}) {
    INFO(script);
    const TempDir dir;
    vmette::Session session = session_to_save(script);
    CHECK(refusal(session, dir).code() == ErrorCode::kSnapshot);
    CHECK(session.state() == vmette::State::kReady);
    CHECK(std::filesystem::is_empty(dir.path()));
  }
}

TEST_CASE("A guest is woken up though its helper did not say that it runs again") {
  const TempDir dir;
  vmette::Session session = session_to_save("save-never-continued");
  const auto saved = session.snapshot(dir / "one");
  INFO((saved ? std::string() : std::string(saved.error().message())));
  REQUIRE(saved);
  CHECK(session.state() == vmette::State::kReady);
  // What such a helper has written is no machine.
  const auto opened = vmette::Snapshot::open(dir / "one");
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == ErrorCode::kRestoreFailed);
}

}  // namespace vmette_test
