// Machines that start from a snapshot.
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <set>
#include <thread>
#include <vector>

#include "snapshot/saved.h"
#include "support/text.h"

using vmette::Config;
using vmette::ErrorCode;
using vmette::Session;
using vmette_test::contains;
using vmette_test::eventually;
using vmette_test::must;
using vmette_test::own_helpers;
using vmette_test::saved;
using vmette_test::says;
using vmette_test::TempDir;
using vmette_test::text;

namespace {

long counter(Session& session) {
  return std::stol(says(session, "cat /tmp/counter"));
}

// Milliseconds by which the machine's clock differs from the host's, as well as one can tell.
int64_t clock_error_ms(Session& session) {
  using std::chrono::milliseconds;
  const auto host = [] {
    return std::chrono::duration_cast<milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
  const int64_t before = host();
  (void)says(session, "touch /tmp/now");
  const auto now = must(session.stat("/tmp/now")).mtime();
  const int64_t guest = std::chrono::duration_cast<milliseconds>(now).count();
  const int64_t after = host();
  if (guest < before) return before - guest;
  return guest > after ? guest - after : 0;
}

}  // namespace

TEST_CASE("a clone has what the warm-up made, and its programs run on") {
  auto clone = must(saved().snapshot().resume());
  CHECK(clone.state() == vmette::State::kReady);
  CHECK(says(clone, "cat /tmp/warm") == "warm");
  CHECK(says(clone, "echo $FROM_BUILD") == "yes");
  const long first = counter(clone);
  CHECK(eventually([&] { return counter(clone) > first; }));
  must(clone.stop(100));
  CHECK(own_helpers().empty());
}

TEST_CASE("clones are private: what one writes no other sees, and the snapshot stays as it was") {
  auto one = must(saved().snapshot().resume());
  auto two = must(saved().snapshot().resume());
  (void)says(one, "echo one >/tmp/who; dd if=/dev/urandom of=/tmp/junk bs=1M count=8");
  CHECK(says(two, "cat /tmp/who 2>/dev/null || echo nobody") == "nobody");
  must(saved().snapshot().verify());
}

TEST_CASE("a clone has variables, command, host name and timeout of its own") {
  Config config;
  config.set_resume_snapshot(saved().path());
  config.add_env("MINE", "own").add_env("FROM_BUILD", "replaced").set_hostname("clone-7");
  config.set_capture_output(true).set_exec(
      "echo $MINE $FROM_BUILD $(hostname) $(cat /etc/hostname)");
  auto session = vmette_test::finished(config);
  const auto output = must(session.output());
  CHECK(text(output.stdout_text()) == "own replaced clone-7 clone-7\n");
  CHECK(session.exit_code() == 0);
}

TEST_CASE("no two clones share random bytes, UUIDs or machine ids, and all know the time") {
  std::set<std::string> random;
  std::set<std::string> uuids;
  std::set<std::string> ids;
  constexpr size_t kClones = 3;
  for (size_t i = 0; i < kClones; ++i) {
    auto clone = must(saved().snapshot().resume());
    random.insert(says(clone, "dd if=/dev/urandom bs=32 count=1 2>/dev/null | md5sum"));
    uuids.insert(says(clone, "cat /proc/sys/kernel/random/uuid"));
    ids.insert(says(clone, "cat /etc/machine-id 2>/dev/null || echo none"));
    CHECK(clock_error_ms(clone) <= 100);
  }
  CHECK(random.size() == kClones);
  CHECK(uuids.size() == kClones);
  if (*ids.begin() != "none") CHECK(ids.size() == kClones);
}

TEST_CASE("a resume adds a share through a reserved device, and no more than were reserved") {
  const TempDir dir;
  (void)dir.write("work/note", "from the host");
  Config config;
  config.add_share("code", (dir / "work"), false);
  auto clone = must(saved().snapshot().resume(config));
  CHECK(says(clone, "cat /mnt/code/note") == "from the host");
  (void)says(clone, "echo back >/mnt/code/answer");
  CHECK(std::filesystem::exists(dir / "work/answer"));

  config.add_share("more", (dir / "work"), true);
  const auto refused = saved().snapshot().resume(config);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::kRestoreFailed);
  CHECK(contains(text(refused.error().message()), "'more'"));
  CHECK(contains(text(refused.error().message()), "resume_shares"));
}

TEST_CASE("hooks run before and after the programs go on, and a hook that fails is told") {
  Config config;
  config.set_resume_hooks("cat /tmp/counter >/tmp/then; sleep 0.3; cat /tmp/counter >/tmp/later",
                          "echo running >/tmp/hook");
  auto clone = must(saved().snapshot().resume(config));
  CHECK(says(clone, "cat /tmp/then") == says(clone, "cat /tmp/later"));
  CHECK(says(clone, "cat /tmp/hook") == "running");
  const long first = counter(clone);
  CHECK(eventually([&] { return counter(clone) > first; }));

  config.set_resume_hooks(nullptr, "echo no luck >&2; exit 3");
  const auto failed = saved().snapshot().resume(config);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code() == ErrorCode::kRestoreFailed);
  CHECK(contains(text(failed.error().message()), "code 3"));
  CHECK(contains(text(failed.error().message()), "no luck"));
  CHECK(own_helpers().size() == 1);
}

TEST_CASE("what the configuration asks for and the snapshot has not is named") {
  const auto refuses = [](auto change, const std::string& field, const std::string& value) {
    Config config;
    change(config);
    const auto resumed = saved().snapshot().resume(config);
    REQUIRE_FALSE(resumed);
    INFO(resumed.error().message());
    CHECK(resumed.error().code() == ErrorCode::kRestoreFailed);
    CHECK(contains(text(resumed.error().message()), field));
    CHECK(contains(text(resumed.error().message()), value));
  };
  refuses([](Config& c) { c.set_vcpus(2); }, "vcpus: the snapshot has 1", "2");
  refuses([](Config& c) { c.set_mem_mib(256); }, "mem_mib: the snapshot has 128", "256");
  refuses([](Config& c) { c.set_scratch_mib(64); }, "scratch_mib", "64");
  refuses([](Config& c) { c.set_switch_root(true); }, "switch_root", "true");
  refuses([](Config& c) { c.set_cmdline("quiet loglevel=0"); }, "cmdline", "loglevel=0");
  refuses([](Config& c) { c.set_rootfs_share("/", false); }, "rootfs", "/");
  refuses([](Config& c) { c.add_disk("/etc/hostname", true); }, "disks", "/etc/hostname");
  CHECK(own_helpers().empty());
}

TEST_CASE("clones are resumed from many threads at once") {
  constexpr size_t kThreads = 4;
  std::vector<std::thread> threads;
  std::vector<std::string> answers(kThreads);
  for (size_t i = 0; i < kThreads; ++i)
    threads.emplace_back([&answers, i] {
      auto clone = saved().snapshot().resume();
      if (!clone) return;
      const auto process = clone.value().exec(vmette::Exec("cat /tmp/warm"));
      if (!process || !process.value().wait(vmette_test::kDeadline)) return;
      const auto output = process.value().output();
      if (output) answers[i] = text(output.value().stdout_text());
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& answer : answers) CHECK(answer == "warm\n");
}

TEST_CASE("clones live on when their snapshot is removed") {
  const TempDir dir;
  const std::string path = dir / "gone";
  std::filesystem::copy(saved().path(), path, std::filesystem::copy_options::recursive);
  auto clone = must(must(vmette::Snapshot::open(path)).resume());
  must(vmette::Snapshot::remove(path));
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK(says(clone,
             "cat /tmp/warm; dd if=/dev/zero of=/tmp/big bs=1M count=16 2>/dev/null && echo ok") ==
        "warm\nok");
  const auto again = vmette::Snapshot::open(path);
  REQUIRE_FALSE(again);
  CHECK(again.error().code() == ErrorCode::kSnapshot);
}
