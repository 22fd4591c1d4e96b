// Files as streams: larger than memory would be, given up half-way, cut off by an end.
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "machine.h"
#include "support/catch.h"
#include "support/footprint.h"

namespace vmette_test {
namespace {

using std::chrono::milliseconds;
using vmette::ErrorCode;
using vmette::FileFlags;

constexpr uint64_t kLarge = uint64_t{48} << 20;
constexpr size_t kPiece = 65536;

vmette::Transfer opened(vmette::result<vmette::Transfer> transfer) {
  INFO((transfer ? std::string() : std::string(transfer.error().message())));
  REQUIRE(transfer);
  return std::move(transfer).value();
}

void succeeded(const vmette::Transfer& transfer) {
  const auto done = transfer.wait(kLong);
  INFO((done ? std::string() : std::string(done.error().message())));
  CHECK(done);
}

ErrorCode failure_of(const vmette::Transfer& transfer) {
  const auto done = transfer.wait(kLong);
  REQUIRE(!done);
  return done.error().code();
}

// Writes the pattern until `size` bytes are through, or nobody takes more.
uint64_t feed(const vmette::Transfer& transfer, uint64_t size) {
  for (uint64_t at = 0; at < size; at += kPiece)
    if (!write_all(transfer.fd(), pattern(at, kPiece))) return at;
  return size;
}

std::string names(const std::string& directory) {
  return sh("ls -A " + directory).out;
}

}  // namespace

TEST_CASE("A file larger than what is held of it goes in and comes back, checksummed") {
  sh("mkdir -p /mnt/big; mount -t tmpfs -o size=100m t /mnt/big");
  vmette::Transfer in = opened(machine().open_write("/mnt/big/f", FileFlags::kNone, 0600));
  CHECK(feed(in, kLarge) == kLarge);
  in.close_fd();
  CHECK(in.fd() == -1);
  succeeded(in);
  CHECK(in.bytes() == kLarge);
  Checksum sent;
  for (uint64_t at = 0; at < kLarge; at += kPiece) sent.add(pattern(at, kPiece));

  const vmette::Transfer out = opened(machine().open_read("/mnt/big/f"));
  Checksum received;
  uint64_t size = 0;
  for (std::string piece; !(piece = read_all(out.fd(), kPiece)).empty(); size += piece.size())
    received.add(piece);
  succeeded(out);
  CHECK(size == kLarge);
  CHECK(out.bytes() == kLarge);
  CHECK(received.value() == sent.value());

  const vmette::Transfer part = opened(machine().open_read("/mnt/big/f", 1'000'001, 70'000));
  CHECK(read_all(part.fd()) == pattern(1'000'001, 70'000));
  succeeded(part);
  const vmette::Transfer past = opened(machine().open_read("/mnt/big/f", kLarge + 5));
  CHECK(read_all(past.fd()).empty());
  succeeded(past);
  sh("umount /mnt/big");
}

TEST_CASE("A reader that stops costs a bounded amount and holds up nobody else") {
  const vmette::Transfer out = opened(machine().open_read("/dev/zero"));
  // It goes on until pipe and window are full, and no further.
  uint64_t bytes = 0;
  do {
    bytes = out.bytes();
    for (int i = 0; i < 5; ++i) CHECK(sh("echo on").out == "on\n");
  } while (out.bytes() != bytes);
  CHECK(bytes > 0);
  CHECK(bytes <= (1024 + 256) * 1024);
}

TEST_CASE("A transfer that fails says why on wait, and its descriptor ends") {
  const vmette::Transfer out = opened(machine().open_read("/no/such/file"));
  CHECK(read_all(out.fd()).empty());
  const auto read = out.wait(kLong);
  REQUIRE(!read);
  CHECK(read.error().code() == ErrorCode::kFile);
  CHECK(read.error().errno_value() == ENOENT);
  CHECK(std::string(read.error().message()) == "read /no/such/file: No such file or directory");

  sh("mkdir -p /mnt/small; mount -t tmpfs -o size=1m t /mnt/small");
  vmette::Transfer in = opened(machine().open_write("/mnt/small/f"));
  CHECK(feed(in, kLarge) < kLarge);
  const auto written = in.wait(kLong);
  REQUIRE(!written);
  CHECK(written.error().errno_value() == ENOSPC);
  sh("umount /mnt/small");
}

TEST_CASE("A write that is given up before its end changes nothing when it is atomic") {
  sh("rm -rf /tmp/given-up; mkdir -p /tmp/given-up; echo old > /tmp/given-up/f");
  for (const bool explicitly : {true, false}) {
    auto in = std::make_unique<vmette::Transfer>(
        opened(machine().open_write("/tmp/given-up/f", FileFlags::kAtomic)));
    CHECK(feed(*in, 10 * kPiece) == 10 * kPiece);
    if (explicitly) {
      in->cancel();
      CHECK(failure_of(*in) == ErrorCode::kCancelled);
    }
    in.reset();
    // The agent takes one thing after the other: by now it has heard of it.
    CHECK(sh("cat /tmp/given-up/f").out == "old\n");
    CHECK(names("/tmp/given-up") == "f\n");
  }
}

TEST_CASE("A reader that closes its end early is told so, and the session goes on") {
  vmette::Transfer out = opened(machine().open_read("/dev/zero"));
  CHECK(read_all(out.fd(), 1000).size() == 1000);
  out.close_fd();
  CHECK(failure_of(out) == ErrorCode::kCancelled);
  CHECK(sh("echo on").out == "on\n");
}

TEST_CASE("A transfer's end can be polled, and waiting for it can be given up") {
  vmette::Transfer in = opened(machine().open_write("/tmp/polled"));
  const auto early = in.wait(milliseconds(20));
  REQUIRE(!early);
  CHECK(early.error().code() == ErrorCode::kDeadline);
  vmette::UniqueFd taken(in.take_fd());
  CHECK(in.take_fd() == -1);
  CHECK(write_all(taken.get(), "x"));
  taken.reset();
  pollfd item{in.done_fd(), POLLIN, 0};
  CHECK(::poll(&item, 1, static_cast<int>(milliseconds(kLong).count())) == 1);
  succeeded(in);
  CHECK(sh("cat /tmp/polled").out == "x");
}

TEST_CASE("Transfers that are under way end with their session and say why") {
  vmette::Config config;
  config.set_mem_mib(192);
  vmette::Session session = boot(config);
  vmette::Transfer out = opened(session.open_read("/dev/zero"));
  vmette::Transfer in = opened(session.open_write("/tmp/f"));
  CHECK(feed(in, kPiece) == kPiece);
  CHECK_FALSE(read_all(out.fd(), kPiece).empty());
  REQUIRE(session.kill());
  for (const vmette::Transfer* transfer : {&out, &in})
    CHECK(failure_of(*transfer) == ErrorCode::kSessionEnded);
  read_all(out.fd());
  CHECK_FALSE(write_all(in.fd(), "x"));
  const auto late = session.open_read("/etc/passwd");
  REQUIRE(!late);
  CHECK(late.error().code() == ErrorCode::kSessionEnded);
}

TEST_CASE("Many files at once, and none of them leaves a descriptor behind") {
  sh("mkdir -p /tmp/many");
  const size_t before = open_descriptors();
  std::vector<std::thread> writers;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t)
    writers.emplace_back([t, &right] {
      for (int i = 0; i < 25; ++i) {
        const std::string path = "/tmp/many/" + std::to_string(t * 100 + i);
        const std::string bytes = pattern(static_cast<uint64_t>(i), 5000);
        if (!machine().write_file(path, bytes, FileFlags::kAtomic)) continue;
        const auto back = machine().read_file(path, bytes.size());
        if (back && back.value().data() == bytes) ++right;
      }
    });
  for (std::thread& writer : writers) writer.join();
  CHECK(right == 100);
  CHECK(machine().list("/tmp/many").value().size() == 100);
  for (int i = 0; i < 600 && open_descriptors() > before; ++i) sh("true");
  CHECK(open_descriptors() <= before);
  REQUIRE(machine().remove("/tmp/many", FileFlags::kRecursive));
}

}  // namespace vmette_test
