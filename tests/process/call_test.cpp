// Calls that return at once: many at a time, and those that do not come to their end.
#include <poll.h>

#include <cerrno>
#include <string>
#include <vector>

#include "machine.h"
#include "support/catch.h"

namespace vmette_test {
namespace {

using std::chrono::milliseconds;
using vmette::Buffer;
using vmette::Call;
using vmette::ErrorCode;
using vmette::FileFlags;

template <class T>
T value(vmette::result<T> result) {
  INFO((result ? std::string() : std::string(result.error().message())));
  REQUIRE(result);
  return std::move(result).value();
}

template <class T>
ErrorCode code_of(const vmette::result<T>& result) {
  REQUIRE(!result);
  return result.error().code();
}

// Waits for all of them in one poll loop, and takes each as its descriptor says.
template <class T, class Taken>
void drive(std::vector<Call<T>>& calls, Taken taken) {
  std::vector<pollfd> items;
  for (const Call<T>& call : calls) items.push_back({call.done_fd(), POLLIN, 0});
  for (size_t left = calls.size(); left != 0;) {
    REQUIRE(::poll(items.data(), items.size(), static_cast<int>(milliseconds(kLong).count())) > 0);
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].revents == 0) continue;
      items[i].fd = -1;
      --left;
      taken(i, calls[i].take());
    }
  }
}

std::string name(size_t i) {
  return "/tmp/many/f" + std::to_string(i);
}

}  // namespace

TEST_CASE("Two hundred calls begun at once all come to their end in one poll loop") {
  constexpr size_t kCalls = 200;
  sh("rm -rf /tmp/many");
  std::vector<Call<void>> writes;
  for (size_t i = 0; i < kCalls; ++i)
    writes.push_back(
        value(machine().begin_write_file(name(i), pattern(i, 1000 * i), FileFlags::kParents)));
  drive(writes, [](size_t, const auto& result) { REQUIRE(result); });
  std::vector<Call<Buffer>> reads;
  for (size_t i = 0; i < kCalls; ++i)
    reads.push_back(value(machine().begin_read_file(name(i), size_t{1} << 20)));
  drive(reads, [](size_t i, const auto& result) {
    REQUIRE(result);
    CHECK(result.value().data() == pattern(i, 1000 * i));
  });
  std::vector<Call<bool>> looks;
  for (size_t i = 0; i < kCalls; ++i) looks.push_back(value(machine().begin_exists(name(2 * i))));
  drive(looks, [](size_t i, const auto& result) {
    REQUIRE(result);
    CHECK(result.value() == (2 * i < kCalls));
  });
}

TEST_CASE("A call brings what the waiting call brings, errors included") {
  sh("rm -rf /tmp/a; mkdir /tmp/a");
  vmette::Session& session = machine();
  const auto ends_well = [](vmette::result<Call<void>> begun) {
    const Call<void> call = value(std::move(begun));
    value(call.wait(kLong));
  };
  ends_well(session.begin_mkdir("/tmp/a/d", 0700));
  ends_well(session.begin_write_file("/tmp/a/f", "bytes"));
  ends_well(session.begin_rename("/tmp/a/f", "/tmp/a/g"));
  ends_well(session.begin_symlink("g", "/tmp/a/l"));
  ends_well(session.begin_chmod("/tmp/a/g", 0600));
  ends_well(session.begin_chown("/tmp/a/g", 1, 2));
  ends_well(session.begin_set_mtime("/tmp/a/g", std::chrono::nanoseconds(7)));
  ends_well(session.begin_remove("/tmp/a/d"));

  Call<vmette::Stat> stat = value(session.begin_stat("/tmp/a/l", FileFlags::kFollow));
  value(stat.wait(kLong));
  const vmette::Stat taken = value(stat.take());
  CHECK(taken.size() == 5);
  CHECK(taken.mtime().count() == 7);
  CHECK(code_of(stat.take()) == ErrorCode::kState);

  Call<vmette::Listing> list = value(session.begin_list("/tmp/a"));
  value(list.wait(kLong));
  CHECK(value(list.take()).size() == 2);
  Call<vmette::Stats> stats = value(session.begin_stats());
  value(stats.wait(kLong));
  CHECK(value(stats.take()).processes() > 0);

  Call<Buffer> missing = value(session.begin_read_file("/tmp/a/none", 1));
  REQUIRE(!missing.wait(kLong));
  const auto refused = missing.take();
  REQUIRE(!refused);
  CHECK(refused.error().errno_value() == ENOENT);
  CHECK(std::string(refused.error().message()) ==
        std::string(session.read_file("/tmp/a/none", 1).error().message()));
  CHECK(code_of(session.begin_stat("a")) == ErrorCode::kInvalidArgument);
  CHECK(code_of(session.begin_stat(std::string("/a\0b", 4))) == ErrorCode::kInvalidArgument);
}

TEST_CASE("A call to a paused machine waits, and comes to its end when the machine goes on") {
  vmette::Session& session = machine();
  value(session.write_file("/tmp/paused", "before"));
  value(session.pause());
  Call<Buffer> call = value(session.begin_read_file("/tmp/paused", 100));
  CHECK(code_of(call.wait(milliseconds(50))) == ErrorCode::kDeadline);
  CHECK(code_of(call.take()) == ErrorCode::kState);
  value(session.unpause());
  value(call.wait(kLong));
  CHECK(value(call.take()).data() == "before");
}

TEST_CASE("A call that is cancelled or thrown away disturbs no other") {
  vmette::Session& session = machine();
  const std::string large = pattern(0, size_t{3} << 20);
  value(session.pause());
  Call<void> given_up = value(session.begin_write_file("/tmp/whole", large, FileFlags::kAtomic));
  {
    const Call<void> thrown = value(session.begin_write_file("/tmp/thrown", large));
  }
  Call<Buffer> other = value(session.begin_read_file("/proc/version", 4096));
  given_up.cancel();
  CHECK(code_of(given_up.wait(kLong)) == ErrorCode::kCancelled);
  CHECK(code_of(given_up.take()) == ErrorCode::kCancelled);
  value(session.unpause());
  value(other.wait(kLong));
  CHECK(value(other.take()).data().find("Linux version") == 0);
  CHECK_FALSE(value(session.exists("/tmp/whole")));
  other.cancel();  // too late to matter
  CHECK(code_of(other.take()) == ErrorCode::kState);
}

TEST_CASE("Calls outlive their session, and say that it has ended") {
  vmette::Config config;
  config.set_mem_mib(192);
  std::vector<Call<void>> calls;
  {
    vmette::Session session = boot(config);
    value(session.pause());
    for (int i = 0; i < 20; ++i)
      calls.push_back(
          value(session.begin_write_file("/tmp/f" + std::to_string(i), pattern(0, 500'000))));
    value(session.request_kill());
    value(session.wait(kLong));
    CHECK(code_of(session.begin_stats()) == ErrorCode::kSessionEnded);
  }
  drive(calls,
        [](size_t, const auto& result) { CHECK(code_of(result) == ErrorCode::kSessionEnded); });
  CHECK(calls[0].take().error().message().find("the session was stopped") !=
        std::string_view::npos);
}

TEST_CASE("A stop that is asked for ends the machine while the caller does other things") {
  vmette::Config config;
  config.set_mem_mib(192);
  vmette::Session session = boot(config);
  const vmette::Process process =
      start(session, vmette::Exec("trap 'exit 3' TERM; sleep 1000 & wait"));
  REQUIRE(process.wait_started(kLong));
  value(session.request_stop(60'000));
  pollfd item{session.end_fd(), POLLIN, 0};
  REQUIRE(::poll(&item, 1, static_cast<int>(milliseconds(kLong).count())) == 1);
  CHECK(session.state() == vmette::State::kEnded);
  CHECK(session.end() == vmette::End::kStopped);
}

}  // namespace vmette_test
