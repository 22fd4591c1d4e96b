// Pools of real machines. Few and small: each boots for seconds on a host without KVM.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <set>
#include <thread>

#include "session/machine.h"
#include "support/processes.h"
#include "support/temp_dir.h"
#include "support/working_directory.h"

using namespace vmette_test;

namespace {

vmette::Config small() {
  vmette::Config config;
  config.set_mem_mib(128).set_ready_timeout_ms(120'000);
  return config;
}

vmette::Pool pool_of(const vmette::Config& config, const vmette::PoolOptions& options) {
  mark_helpers();
  return must(vmette::Pool::create(config, options));
}

vmette::PoolOptions kept(uint32_t ready, uint32_t most = 0) {
  vmette::PoolOptions options;
  options.set_ready(ready).set_most(most);
  return options;
}

bool has_ready(const vmette::Pool& pool, size_t machines) {
  return eventually([&] { return must(pool.count()).ready() == machines; });
}

std::string refusal(const vmette::Config& config) {
  const auto outcome = vmette::Pool::create(config);
  REQUIRE(!outcome);
  CHECK(outcome.error().code() == vmette::ErrorCode::kInvalidConfig);
  return text(outcome.error().message());
}

}  // namespace

TEST_CASE("a pool hands machines out up to its limit, and sessions outlive it") {
  auto made = std::make_optional(pool_of(small(), kept(1, 2)));
  auto first = must(made->take(kDeadline));
  CHECK(first.state() == vmette::State::kReady);
  CHECK(run_in(first, "echo first > /tmp/mark; cat /tmp/mark").out == "first\n");
  auto second = std::make_optional(must(made->take(kDeadline)));
  CHECK(run_in(*second, "ls /tmp/mark").code != 0);
  CHECK(own_helpers().size() == 2);

  const auto late = made->take(std::chrono::milliseconds(50));
  REQUIRE(!late);
  CHECK(late.error().code() == vmette::ErrorCode::kDeadline);
  CHECK(must(made->count()).taken() == 2);
  CHECK(must(made->count()).starting() == 0);

  auto request = must(made->request());
  CHECK_FALSE(readable(request.fd(), std::chrono::milliseconds(0)));
  second.reset();
  REQUIRE(readable(request.fd()));
  auto third = must(request.take(std::chrono::milliseconds(0)));
  CHECK(run_in(third, "echo third").out == "third\n");

  made.reset();
  CHECK(run_in(first, "cat /tmp/mark").out == "first\n");
  CHECK(own_helpers().size() == 2);
  must(third.kill());
  must(first.kill());
  CHECK(own_helpers().empty());
}

TEST_CASE("a machine that is killed in the pool is replaced, and never handed out") {
  auto pool = pool_of(small(), kept(1));
  REQUIRE(has_ready(pool, 1));
  only_helper().signal(SIGKILL);
  REQUIRE(eventually([&] { return must(pool.count()).died() == 1; }));
  CHECK(text(must(pool.count()).last_error()).find("a ready machine ended: ") == 0);
  auto session = must(pool.take(kDeadline));
  CHECK(run_in(session, "echo alive").out == "alive\n");
}

TEST_CASE("closing ends the pool's own machines, whatever they do, and fails who waits") {
  auto pool = pool_of(small(), kept(1, 1));
  auto session = must(pool.take(kDeadline));
  auto request = must(pool.request());
  vmette::ErrorCode told{};
  std::thread waiter([&] {
    const auto outcome = pool.take();
    if (!outcome) told = outcome.error().code();
  });
  CHECK(eventually([&] { return must(pool.count()).waiting() == 2; }));
  must(pool.close());
  waiter.join();
  CHECK(told == vmette::ErrorCode::kState);
  REQUIRE(readable(request.fd(), std::chrono::milliseconds(0)));
  CHECK(request.take().error().code() == vmette::ErrorCode::kState);
  CHECK(own_helpers().size() == 1);
  CHECK(run_in(session, "echo alive").out == "alive\n");
}

TEST_CASE("a pool that goes while its machines start leaves nothing behind") {
  const std::string fds = "/proc/self/fd";
  const auto count = [&] {
    const auto range = std::filesystem::directory_iterator(fds);
    return std::distance(begin(range), end(range));
  };
  {
    // What the process opens once for all.
    auto pool = pool_of(small(), kept(1));
  }
  const auto before = count();
  {
    auto pool = pool_of(small(), kept(2));
    auto request = must(pool.request());
    REQUIRE(eventually([] { return own_helpers().size() == 2; }));
  }
  CHECK(own_helpers().empty());
  CHECK(count() == before);
}

TEST_CASE("an idle pool has no machines until somebody takes one") {
  vmette::PoolOptions options;
  options.set_idle_ms(1);
  auto pool = pool_of(small(), options);
  REQUIRE(eventually([&] {
    const auto counts = must(pool.count());
    return counts.started() == 1 && counts.starting() + counts.ready() + counts.ending() == 0;
  }));
  CHECK(own_helpers().empty());
  auto session = must(pool.take(kDeadline));
  CHECK(run_in(session, "echo again").out == "again\n");
}

TEST_CASE("a request that is given up gives its machine back") {
  auto pool = pool_of(small(), kept(1, 1));
  {
    const auto request = must(pool.request());
    REQUIRE(readable(request.fd()));
    CHECK(must(pool.count()).taken() == 1);
  }
  CHECK(must(pool.count()).ready() == 1);
  CHECK(must(pool.take(std::chrono::milliseconds(0))).state() == vmette::State::kReady);
  CHECK(must(pool.count()).started() >= 1);
}

TEST_CASE("a pool of clones hands out what was saved, until the snapshot is gone") {
  const TempDir dir;
  const std::string path = dir / "warm";
  {
    auto pool = pool_of(small(), kept(1));
    auto session = must(pool.take(kDeadline));
    CHECK(run_in(session, "echo warm > /tmp/mark").code == 0);
    must(session.snapshot(path));
  }
  std::optional<vmette::Pool> pool;
  {
    const WorkingDirectory inside(dir.path());
    pool = pool_of(vmette::Config().set_resume_snapshot("warm"), kept(2));
  }
  std::set<std::string> seen;
  for (int i = 0; i < 4; ++i) {
    auto session = must(pool->take(kDeadline));
    CHECK(run_in(session, "cat /tmp/mark").out == "warm\n");
    seen.insert(run_in(session, "cat /proc/sys/kernel/random/uuid").out);
  }
  CHECK(seen.size() == 4);
  REQUIRE(has_ready(*pool, 2));
  must(vmette::Snapshot::remove(path));
  auto last = must(pool->take(kDeadline));
  auto very_last = must(pool->take(kDeadline));
  CHECK(run_in(last, "cat /tmp/mark").out == "warm\n");
  const auto none = pool->take(kDeadline);
  REQUIRE(!none);
  INFO(none.error().message());
  CHECK(none.error().code() == vmette::ErrorCode::kSnapshot);
}

TEST_CASE("who takes from a pool that cannot start machines gets the reason") {
  const TempDir dir;
  std::filesystem::create_symlink("/bin/true", dir / "helper");
  auto config = small();
  config.set_helper("helper");
  std::optional<vmette::Pool> pool;
  {
    const WorkingDirectory inside(dir.path());
    pool = pool_of(config, kept(2));
  }
  // Elsewhere by now, the path means what it meant.
  for (int i = 0; i < 2; ++i) {
    const auto outcome = pool->take(kDeadline);
    REQUIRE(!outcome);
    INFO(outcome.error().message());
    CHECK(outcome.error().code() == vmette::ErrorCode::kStartFailed);
  }
  const auto counts = must(pool->count());
  CHECK(counts.failed() >= 2);
  CHECK(!counts.last_error().empty());
}

TEST_CASE("what cannot be meant for a pool is refused by name") {
  CHECK(refusal(vmette::Config().set_exec("true")).find("exec: ") == 0);
  CHECK(refusal(vmette::Config().set_timeout_seconds(5)).find("timeout_seconds: 5 s") == 0);
  CHECK(refusal(vmette::Config().set_build_snapshot("/tmp/x")).find("build_snapshot: ") == 0);
  CHECK(refusal(vmette::Config().set_mem_mib(1)).find("mem_mib: ") == 0);
  const auto few = vmette::Pool::create(vmette::Config(), kept(3, 2));
  REQUIRE(!few);
  CHECK(few.error().code() == vmette::ErrorCode::kInvalidArgument);
}
