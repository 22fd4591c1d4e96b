// What many machines one after the other leave in their host program: nothing.
#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "session/machine.h"

using vmette::Config;
using vmette::End;
using vmette::Session;
using vmette_test::capturing;
using vmette_test::created;
using vmette_test::must;
using vmette_test::open_files;
using vmette_test::own_helpers;

namespace {

struct Footprint {
  size_t descriptors;
  size_t heap_bytes;
  size_t threads;
};

Footprint measure() {
  const auto tasks = [] {
    size_t count = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", ignored))
      count += entry.exists() ? 1 : 0;
    return count;
  };
  return {open_files(getpid()).size(), mallinfo2().uordblks, tasks()};
}

// One machine in `round`: eight of ten are killed at different points of their boot, two boot, run
// a command and end by it.
void one(int round) {
  if (round % 5 == 4) {
    const Session session = vmette_test::finished(capturing("echo hi"));
    REQUIRE(session.end() == End::kExited);
    REQUIRE(must(session.output()).stdout_text() == "hi\n");
    return;
  }
  auto session = vmette_test::launched(Config());
  if (round % 5 != 0)
    REQUIRE(vmette_test::eventually(
        [&] { return session.timeline_count() >= static_cast<size_t>(round % 5); }));
  must(session.kill());
  REQUIRE(session.end() == End::kStopped);
}

}  // namespace

TEST_CASE("100 machines one after the other leave no descriptor, thread or memory") {
  // The first rounds fill what is kept for ever: allocator pools, locale, the console's buffers.
  for (int round = 0; round < 10; ++round) one(round);
  const Footprint before = measure();
  for (int round = 0; round < 100; ++round) one(round);
  const Footprint after = measure();
  CHECK(after.descriptors == before.descriptors);
  CHECK(after.threads == before.threads);
  CHECK(after.heap_bytes <= before.heap_bytes + 16 * 1024);
  CHECK(own_helpers().empty());
}

TEST_CASE("sessions that are never started, or refused, leave nothing either") {
  const auto round = [] {
    const Session session = created(Config());
    Config wrong;
    wrong.set_vcpus(0);
    CHECK_FALSE(Session::create(wrong));
    Config no_helper;
    no_helper.set_helper("/no/such/helper");
    auto failing = created(no_helper);
    CHECK_FALSE(failing.launch());
  };
  round();
  const Footprint before = measure();
  for (int i = 0; i < 100; ++i) round();
  const Footprint after = measure();
  CHECK(after.descriptors == before.descriptors);
  CHECK(after.heap_bytes <= before.heap_bytes + 4096);
}
