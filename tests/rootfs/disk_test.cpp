// Extra disks: their names in the guest, who may write them, and what goes wrong with them.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "session/machine.h"
#include "support/images.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::Config;
using vmette_test::contains;
using vmette_test::created;
using vmette_test::launched;
using vmette_test::must;
using vmette_test::run_in;
using vmette_test::start_error;
using vmette_test::started;
using vmette_test::TempDir;
using vmette_test::text;

namespace {

constexpr int kMiB = 1 << 20;

std::string disk(const TempDir& dir, const std::string& name, const std::string& begin) {
  const std::string path = dir.write(name, begin);
  std::filesystem::resize_file(path, 4 * kMiB);
  return path;
}

std::string head(const std::string& path, size_t bytes) {
  std::string text(bytes, '\0');
  std::ifstream(path, std::ios::binary).read(text.data(), static_cast<std::streamsize>(bytes));
  return text;
}

std::string refusal(const Config& config) {
  auto session = vmette::Session::create(config);
  REQUIRE_FALSE(session);
  return text(session.error().message());
}

}  // namespace

TEST_CASE("disks have stable names by position and by id, are written and kept") {
  const TempDir dir;
  const std::string first = disk(dir, "first", "one");
  const std::string second = disk(dir, "second", "two");
  const std::string third = disk(dir, "third", "three");
  Config config;
  config.add_disk(first, false).add_disk_as("data", second, false).add_disk(third, true);
  config.set_rootfs("/").set_scratch_mib(64);
  auto session = started(config);
  const auto heads =
      run_in(session,
             "for d in /dev/vmette/disk0 /dev/vmette/disk1 /dev/vmette/disk2 "
             "/dev/disk/by-id/virtio-disk0 /dev/disk/by-id/virtio-data "
             "/dev/disk/by-id/virtio-disk2; do head -c 5 $d; echo; done | tr -d '\\0'");
  INFO(heads.err);
  CHECK(heads.out == "one\ntwo\nthree\none\ntwo\nthree\n");
  CHECK(run_in(session, "printf new >/dev/vmette/disk1 && sync").code == 0);
  const auto refused = run_in(session, "printf bad >/dev/vmette/disk2");
  CHECK(refused.code != 0);
  const auto formatted = run_in(session,
                                "mke2fs -q -t ext4 /dev/vmette/disk0 && mkdir -p /tmp/m && "
                                "mount /dev/vmette/disk0 /tmp/m && echo kept >/tmp/m/file && "
                                "umount /tmp/m");
  INFO(formatted.err);
  CHECK(formatted.code == 0);
  must(session.stop(5000));
  must(session.wait(vmette_test::kDeadline));
  CHECK(head(second, 3) == "new");
  CHECK(head(third, 5) == "three");
  const auto seen = vmette_test::run_program({"/usr/sbin/debugfs", "-R", "cat /file", first});
  CHECK(seen.out == "kept\n");
}

TEST_CASE("a disk that one machine writes is refused to a second, by name") {
  const TempDir dir;
  const std::string path = disk(dir, "disk", "one");
  for (const bool read_only : {false, true}) {
    Config config;
    config.add_disk(path, false);
    auto first = started(config);
    Config other;
    other.add_disk(path, read_only);
    auto second = launched(other);
    const auto outcome = second.wait_ready(vmette_test::kDeadline);
    REQUIRE_FALSE(outcome);
    INFO(outcome.error().message());
    CHECK(contains(text(outcome.error().message()), "disks: '" + path + "' is in use"));
    CHECK(run_in(first, "true").code == 0);
  }
  // Who only reads may share, and the lock is gone with its machine.
  Config config;
  config.add_disk(path, true);
  auto first = started(config);
  auto second = started(config);
  CHECK(run_in(second, "head -c 3 /dev/vmette/disk0").out == "one");
}

TEST_CASE("disks that cannot be what they should are refused with the reason") {
  const TempDir dir;
  const std::string path = disk(dir, "disk", "one");
  Config twice;
  twice.add_disk(path, false).add_disk(path, true);
  CHECK(contains(refusal(twice), "disks: '" + path + "' is attached twice"));
  std::filesystem::create_hard_link(path, dir / "link");
  Config linked;
  linked.add_disk(path, true).add_disk(dir / "link", false);
  CHECK(contains(refusal(linked), "disks: '" + (dir / "link") + "' is attached twice"));
  for (const char* id : {"a/b", "", "vmette-x", "123456789012345678901", "disk1"}) {
    Config named;
    named.add_disk_as("disk1", path, true).add_disk_as(id, path, true);
    const std::string why = refusal(named);
    INFO(why);
    CHECK(contains(why, "disks: id '" + std::string(*id == '\0' ? "disk1" : id) + "'"));
  }
  Config empty;
  empty.add_disk(dir.write("empty", ""), true);
  CHECK(contains(text(start_error(empty).message()), "is empty; give it a size"));
  Config odd;
  odd.add_disk(dir.write("odd", "x"), false);
  CHECK(contains(text(start_error(odd).message()), "has 1 bytes; the size of a writable disk"));
}

TEST_CASE("a disk that vanishes before the start is missed by name") {
  const TempDir dir;
  const std::string path = disk(dir, "disk", "one");
  Config config;
  config.add_disk(path, true);
  auto session = created(config);
  std::filesystem::remove(path);
  must(session.launch());
  const auto outcome = session.wait_ready(vmette_test::kDeadline);
  REQUIRE_FALSE(outcome);
  CHECK(contains(text(outcome.error().message()), "disks: '" + path + "' cannot be used"));
}

TEST_CASE("a disk that is cut while it is read fails the read, and the session lives on") {
  const TempDir dir;
  const std::string path = disk(dir, "disk", "one");
  Config config;
  config.add_disk(path, true);
  auto session = started(config);
  std::filesystem::resize_file(path, 512);
  const auto ran = run_in(session, "dd if=/dev/vmette/disk0 of=/dev/null bs=1M");
  INFO(ran.err);
  CHECK(run_in(session, "echo alive").out == "alive\n");
}

TEST_CASE("shares and disks fill a machine to its last device") {
  const TempDir dir;
  Config config;
  std::filesystem::create_directories(dir / "shared");
  (void)dir.write("shared/file", "shared");
  // 23 devices, of which the control stream has one.
  for (int i = 0; i < 11; ++i) {
    config.add_disk(disk(dir, "disk" + std::to_string(i), std::to_string(i)), i % 2 == 0);
    config.add_share("tag" + std::to_string(i), dir / "shared", true);
  }
  config.set_mem_mib(1024);
  Config more = must(config.clone());
  more.add_disk(disk(dir, "more", "x"), true);
  CHECK(contains(refusal(more), "at most 23 devices"));
  auto session = started(config);
  const auto ran = run_in(session,
                          "for i in 0 1 2 3 4 5 6 7 8 9 10; do head -c 2 /dev/vmette/disk$i | "
                          "tr -d '\\0'; cat /mnt/tag$i/file; done");
  INFO(ran.err);
  std::string expected;
  for (int i = 0; i < 11; ++i) expected += std::to_string(i) + "shared";
  CHECK(ran.out == expected);
}
