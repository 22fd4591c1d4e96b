// Extra disks: their names in the guest, who may write them, and what goes wrong with them.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

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

// A loop device, which is let go at the end.
class LoopDevice {
 public:
  explicit LoopDevice(std::string path) : path_(std::move(path)) {}
  ~LoopDevice() { vmette_test::run_program({"/sbin/losetup", "-d", path_}); }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Why a machine does not start while another one runs.
std::string refused_start(const Config& config) {
  auto session = launched(config);
  const auto outcome = session.wait_ready(vmette_test::kDeadline);
  REQUIRE_FALSE(outcome);
  return text(outcome.error().message());
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
    CHECK(contains(refused_start(other), "disks: '" + path + "' is in use"));
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

TEST_CASE("a disk that is cut or deleted while it is used has zeros there, or is kept to the end") {
  const TempDir dir;
  const std::string path = disk(dir, "disk", "one");
  const std::string gone = disk(dir, "gone", "two");
  for (const std::string& file : {path, gone}) {
    std::fstream end(file, std::ios::in | std::ios::out | std::ios::binary);
    end.seekp(3 * kMiB);
    end << "end";
  }
  Config config;
  config.add_disk(path, true).add_disk(gone, true);
  auto session = started(config);
  std::filesystem::resize_file(path, 512);
  std::filesystem::remove(gone);
  const auto ran = run_in(session,
                          "for d in 0 1; do dd if=/dev/vmette/disk$d of=/tmp/disk bs=1M skip=3 "
                          "count=1 2>/dev/null; echo $?; tr -d '\\0' </tmp/disk; done");
  INFO(ran.err);
  CHECK(ran.out == "0\n0\nend");
  CHECK(run_in(session, "echo alive").out == "alive\n");
}

TEST_CASE("a block device that a machine writes is nobody else's, whatever it is called") {
  const TempDir dir;
  const std::string image = dir / "image";
  vmette_test::tool({"/usr/sbin/mke2fs", "-q", "-t", "ext4", image, "16M"});
  const auto set_up = vmette_test::run_program({"/sbin/losetup", "-f", "--show", image});
  if (geteuid() != 0 || set_up.code != 0) {
    WARN("not tested: a loop device needs root");
    return;
  }
  const LoopDevice device(set_up.out.substr(0, set_up.out.find('\n')));
  struct stat info{};
  REQUIRE(stat(device.path().c_str(), &info) == 0);
  const std::string other = dir / "other";
  REQUIRE(mknod(other.c_str(), S_IFBLK | 0600, info.st_rdev) == 0);
  Config config;
  config.add_disk(device.path(), false);
  Config second;
  second.add_disk(other, false);
  const std::string in_use = "' is mounted or in use by another machine or program of this host";
  std::filesystem::create_directories(dir / "mounted");
  {
    auto session = started(config);
    CHECK(contains(refused_start(second), "disks: '" + other + in_use));
    CHECK(mount(device.path().c_str(), (dir / "mounted").c_str(), "ext4", 0, "") != 0);
    CHECK(errno == EBUSY);
    CHECK(run_in(session, "mount /dev/vmette/disk0 /mnt && umount /mnt").code == 0);
    must(session.kill());
    must(session.wait(vmette_test::kDeadline));
  }
  REQUIRE(mount(device.path().c_str(), (dir / "mounted").c_str(), "ext4", MS_RDONLY, "") == 0);
  CHECK(contains(text(start_error(config).message()), "disks: '" + device.path() + in_use));
  CHECK(umount((dir / "mounted").c_str()) == 0);
}

TEST_CASE("an image as root that another machine writes is refused as the root") {
  const TempDir dir;
  const std::string image = dir / "image";
  vmette_test::tool({"/usr/sbin/mke2fs", "-q", "-t", "ext4", image, "16M"});
  Config writer;
  writer.add_disk(image, false);
  auto session = started(writer);
  Config reader;
  reader.set_rootfs_block(image);
  CHECK(contains(refused_start(reader), "rootfs: '" + image + "' is in use"));
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
