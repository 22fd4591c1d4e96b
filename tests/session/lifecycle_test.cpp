// Starting, stopping and waiting, from one thread and from many.
#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "session/machine.h"
#include "support/text.h"

using vmette::Config;
using vmette::End;
using vmette::ErrorCode;
using vmette::Session;
using vmette::State;
using vmette_test::capturing;
using vmette_test::contains;
using vmette_test::created;
using vmette_test::eventually;
using vmette_test::kDeadline;
using vmette_test::launched;
using vmette_test::must;
using vmette_test::own_helpers;
using vmette_test::ready;
using vmette_test::started;
using vmette_test::text;

namespace {

constexpr std::chrono::milliseconds kNow{0};

bool has_step(const Session& session, std::string_view name) {
  for (size_t i = 0; i < session.timeline_count(); ++i)
    if (session.timeline(i).name == name) return true;
  return false;
}

}  // namespace

TEST_CASE("a session goes from created to ended and keeps its end") {
  auto session = created(Config());
  CHECK(session.state() == State::kCreated);
  CHECK(session.wait(kNow).error().code() == ErrorCode::kState);
  CHECK(session.wait_ready(kNow).error().code() == ErrorCode::kState);
  must(session.stop(0));  // not started: nothing to stop
  CHECK(session.state() == State::kCreated);

  must(session.launch());
  CHECK(session.launch().error().code() == ErrorCode::kState);
  must(session.wait_ready(kDeadline));
  CHECK(session.state() == State::kReady);
  CHECK(session.end() == End::kNone);
  CHECK(session.exit_code() == -1);
  CHECK(session.end_message().empty());
  const auto waited = session.wait(kNow);
  REQUIRE_FALSE(waited);
  CHECK(waited.error().code() == ErrorCode::kDeadline);

  must(session.stop(0));
  CHECK(session.state() == State::kEnded);
  CHECK(session.end() == End::kStopped);
  CHECK(session.exit_code() == 0);
  CHECK_FALSE(session.end_message().empty());
  must(session.wait(kNow));
  must(session.wait_ready(kNow));  // it was ready once
  must(session.stop(0));
  must(session.kill());
  CHECK(session.end() == End::kStopped);
  CHECK(session.launch().error().code() == ErrorCode::kState);
}

TEST_CASE("a session can be stopped and killed at every point of its boot") {
  for (const bool orderly : {true, false}) {
    for (const char* step : {"", "helper spawned", "hypervisor started", "agent hello"}) {
      INFO((orderly ? "stop" : "kill") << " after \"" << step << "\"");
      auto session = launched(Config());
      REQUIRE(eventually([&] { return *step == '\0' || has_step(session, step); }));
      must(orderly ? session.stop(0) : session.kill());
      CHECK(session.end() == End::kStopped);
      CHECK(session.exit_code() == 0);
      CHECK(own_helpers().empty());
    }
  }
}

TEST_CASE("a stop during the boot wakes those who wait for its end") {
  auto session = launched(Config());
  std::optional<vmette::Error> error;
  std::thread waiter([&] {
    const auto outcome = session.wait_ready(kDeadline);
    if (!outcome) error = outcome.error();
  });
  REQUIRE(eventually([&] { return has_step(session, "hypervisor started"); }));
  must(session.kill());
  waiter.join();
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::kSessionEnded);
  CHECK(contains(error->message(), "stopped"));
}

TEST_CASE("a session that is dropped at any point leaves nothing behind") {
  for (const char* step : {"", "helper spawned", "hypervisor started", "root ready"}) {
    INFO(step);
    {
      const Session session = launched(Config());
      REQUIRE(eventually([&] { return *step == '\0' || has_step(session, step); }));
    }
    CHECK(own_helpers().empty());
  }
}

TEST_CASE("the first cause of an end wins and everyone sees the same") {
  auto session = started(capturing("exit 3"));
  must(session.wait(kDeadline));
  must(session.stop(0));
  must(session.kill());
  CHECK(session.end() == End::kExited);
  CHECK(session.exit_code() == 3);

  // Many at once: whichever comes first, there is one end.
  auto raced = ready();
  std::vector<std::thread> threads;
  std::array<End, 8> seen{};
  for (size_t i = 0; i < seen.size(); ++i)
    threads.emplace_back([&, i] {
      const auto done = i % 4 == 0   ? raced.stop(0)
                        : i % 4 == 1 ? raced.kill()
                                     : raced.wait(kDeadline);
      seen[i] = done ? raced.end() : End::kNone;
    });
  for (std::thread& thread : threads) thread.join();
  for (const End end : seen) CHECK(end == End::kStopped);
  CHECK(own_helpers().empty());
}

TEST_CASE("eight sessions at once in one process keep to themselves") {
  constexpr size_t kSessions = 8;
  std::vector<Session> sessions;
  for (size_t i = 0; i < kSessions; ++i) {
    const std::string line = "echo out " + std::to_string(i) + "; exit " + std::to_string(i);
    Config config = capturing(line.c_str());
    config.set_mem_mib(128).set_ready_timeout_ms(120'000);
    sessions.push_back(created(config));
  }
  for (Session& session : sessions) must(session.launch());
  CHECK(own_helpers().size() <= kSessions);
  for (size_t i = 0; i < kSessions; ++i) {
    must(sessions[i].wait(kDeadline));
    INFO(sessions[i].end_message());
    CHECK(sessions[i].end() == End::kExited);
    CHECK(sessions[i].exit_code() == static_cast<int>(i));
    CHECK(text(must(sessions[i].output()).stdout_text()) == "out " + std::to_string(i) + "\n");
  }
  CHECK(own_helpers().empty());
}

TEST_CASE("sessions can be made and ended from several threads at once") {
  vmette_test::mark_helpers();
  std::atomic<int> stopped = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 3; ++round) {
        auto session = Session::create(Config());
        if (!session || !session.value().launch()) return;
        if (session.value().kill() && session.value().end() == End::kStopped) ++stopped;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(stopped == 12);
  CHECK(own_helpers().empty());
}

TEST_CASE("an ended session still tells everything about itself") {
  auto session = vmette_test::finished(capturing("echo hi"));
  CHECK(text(must(session.output()).stdout_text()) == "hi\n");
  CHECK_FALSE(session.cmdline().empty());
  CHECK(session.timeline_count() >= 6);
  CHECK(session.console());
  const auto refused = session.exec(vmette::Exec("true"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::kSessionEnded);
  CHECK(contains(refused.error().message(), "exited with code 0"));
}

TEST_CASE("a command needs a session that is ready") {
  auto session = created(Config());
  const auto refused = session.exec(vmette::Exec("true"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::kState);
}
