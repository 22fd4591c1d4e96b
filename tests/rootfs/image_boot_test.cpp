// Machines whose root is a file-system image, and what lies over it.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/unique_fd.h"
#include "session/machine.h"
#include "support/images.h"
#include "support/mounted.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::Config;
using vmette_test::contains;
using vmette_test::created;
using vmette_test::eventually;
using vmette_test::finished;
using vmette_test::make_image;
using vmette_test::must;
using vmette_test::only_helper;
using vmette_test::run_in;
using vmette_test::start_error;
using vmette_test::started;
using vmette_test::TempDir;
using vmette_test::text;

namespace {

// A root that needs no more than a shell, as an image of that type.
std::string image_of(const TempDir& dir, const std::string& fstype) {
  const auto tree = dir.path() / "tree";
  std::filesystem::create_directories(tree / "bin");
  for (const char* place : {"proc", "sys", "dev", "tmp", "run", "etc"})
    std::filesystem::create_directories(tree / place);
  std::filesystem::copy_file("/bin/busybox", tree / "bin/busybox",
                             std::filesystem::copy_options::skip_existing);
  for (const char* name :
       {"sh", "cat", "dd", "df", "mount", "rm", "ls", "readlink", "mkdir", "sync"})
    if (!std::filesystem::exists(std::filesystem::symlink_status(tree / "bin" / name)))
      std::filesystem::create_symlink("busybox", tree / "bin" / name);
  (void)dir.write("tree/from", "the image");
  const std::string image = dir / (fstype + ".img");
  make_image(fstype, tree.string(), image);
  return image;
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Files that a process has open below `directory`, and their sizes on the disk.
uint64_t unlinked_bytes(pid_t pid, const std::string& directory) {
  uint64_t bytes = 0;
  const std::string fds = "/proc/" + std::to_string(pid) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(fds)) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    struct stat info{};
    if (!gone && target.starts_with(directory) && stat(entry.path().c_str(), &info) == 0)
      bytes += static_cast<uint64_t>(info.st_blocks) * 512;
  }
  return bytes;
}

}  // namespace

TEST_CASE("an image of each type boots, is written over and stays as it was") {
  for (const std::string fstype : {"squashfs", "erofs", "ext4"}) {
    INFO(fstype);
    const TempDir dir;
    const std::string image = image_of(dir, fstype);
    REQUIRE(chmod(image.c_str(), 0444) == 0);
    const std::string before = bytes_of(image);
    Config config;
    config.set_rootfs(fstype + "+file://" + image);
    auto session = started(config);
    const auto ran = run_in(session, "cat /from; echo; echo new >/from; cat /from; exit 3");
    INFO(ran.err);
    CHECK(ran.code == 3);
    CHECK(ran.out == "the image\nnew\n");
    CHECK(bytes_of(image) == before);

    // The same image for a second machine at the same time.
    Config again;
    again.set_rootfs_block(image);
    auto second = started(again);
    CHECK(run_in(second, "cat /from").out == "the image");
  }
}

TEST_CASE("ext2 and ext3 images boot too, and may be a read-only disk of their machine") {
  for (const std::string fstype : {"ext2", "ext3"}) {
    INFO(fstype);
    const TempDir dir;
    (void)image_of(dir, "ext4");
    const std::string image = dir / "older.img";
    vmette_test::tool({"/usr/sbin/mke2fs", "-q", "-t", fstype, "-d", dir / "tree", image, "32M"});
    Config config;
    config.set_rootfs_block(image, "ext4").add_disk(image, true).add_disk_as("again", image, true);
    auto session = started(config);
    const auto ran = run_in(session,
                            "cat /from && mkdir /there && "
                            "mount -o ro,noload /dev/disk/by-id/virtio-again /there && "
                            "cat /there/from");
    INFO(ran.err);
    CHECK(ran.out == "the imagethe image");
  }
}

TEST_CASE("the exit code arrives from a read-only image, with switch_root and from a disk") {
  const TempDir dir;
  const std::string image = image_of(dir, "squashfs");
  const auto code = [](Config& config) {
    config.set_capture_output(true);
    const auto session = finished(config);
    return session.exit_code();
  };
  Config read_only;
  read_only.set_rootfs("squashfs+file://" + image, true).set_exec("(: >/x) && exit 1; exit 7");
  CHECK(code(read_only) == 7);
  Config switched;
  switched.set_rootfs_block(image, "squashfs").set_switch_root(true);
  switched.set_exec("[ \"$(cat /proc/1/comm)\" = vmette-runner ] && : >/x && exit 8");
  CHECK(code(switched) == 8);
  Config scratch;
  scratch.set_rootfs_block(image, "squashfs").set_scratch_mib(64).set_switch_root(true);
  scratch.set_exec("cat /proc/1/comm && : >/x && exit 9");
  CHECK(code(scratch) == 9);
}

TEST_CASE("the scratch disk holds the writable layer, is bounded and leaves nothing") {
  const TempDir dir;
  const std::string image = image_of(dir, "squashfs");
  std::filesystem::create_directories(dir / "scratch");
  Config config;
  config.set_rootfs_block(image).set_scratch_mib(8192).set_scratch_dir(dir / "scratch");
  config.set_mem_mib(128);
  auto session = started(config);
  bool told = false;
  for (size_t i = 0; i < session.timeline_count(); ++i)
    told = told || text(session.timeline(i).name) == "overlay upper on scratch disk";
  CHECK(told);
  CHECK(std::filesystem::is_empty(dir / "scratch"));
  const auto hypervisor = vmette_test::only_hypervisor(only_helper());
  CHECK(unlinked_bytes(hypervisor.pid(), dir / "scratch") <= 8 << 20);

  // More than the machine's memory, in the root and in /tmp.
  const auto ran = run_in(session,
                          "dd if=/dev/zero of=/big bs=1M count=200 2>/dev/null && "
                          "dd if=/dev/zero of=/tmp/big bs=1M count=100 2>/dev/null && sync && "
                          "ls -l /big /tmp/big && df -m / | cat");
  INFO(ran.out << ran.err);
  CHECK(ran.code == 0);
  CHECK(unlinked_bytes(hypervisor.pid(), dir / "scratch") >= 300 << 20);
  // What is deleted is given back to the host.
  CHECK(run_in(session, "rm /big /tmp/big && sync").code == 0);
  CHECK(eventually([&] { return unlinked_bytes(hypervisor.pid(), dir / "scratch") < 100 << 20; }));
  must(session.kill());
  must(session.wait(vmette_test::kDeadline));
  CHECK(std::filesystem::is_empty(dir / "scratch"));
}

TEST_CASE("a guest that fills its writable layer gets ENOSPC and lives on") {
  const TempDir dir;
  const std::string image = image_of(dir, "squashfs");
  for (const int scratch_mib : {0, 32}) {
    INFO(scratch_mib);
    Config config;
    config.set_rootfs_block(image).set_scratch_mib(static_cast<uint64_t>(scratch_mib));
    auto session = started(config);
    const auto full = run_in(session, "dd if=/dev/zero of=/fill bs=1M count=300");
    INFO(full.err);
    CHECK(full.code != 0);
    CHECK(contains(full.err, "No space left on device"));
    CHECK(run_in(session, "rm /fill && echo more >/note && cat /note").out == "more\n");
  }
}

TEST_CASE("a full host disk below the scratch disk is an I/O error, and the log says why") {
  if (geteuid() != 0) {
    WARN("not tested: a small file system needs root");
    return;
  }
  const TempDir dir;
  const vmette_test::Mounted small(dir / "small", "size=16m");
  const std::string log = dir.write("log", "");
  const vmette::UniqueFd writer(open(log.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  must(vmette::log_to_fd(writer.get(), vmette::LogLevel::kError));
  Config config;
  config.set_scratch_mib(256).set_scratch_dir(dir / "small");
  auto session = started(config);
  const auto full = run_in(session, "dd if=/dev/zero of=/fill bs=1M count=64 conv=fsync");
  INFO(full.err);
  CHECK(full.code != 0);
  CHECK(contains(full.err, "error"));
  CHECK(run_in(session, "rm -f /fill; echo alive").out == "alive\n");
  CHECK(eventually(
      [&] { return contains(bytes_of(log), "disk vmette-scratch: the host's disk is full"); }));
  must(session.kill());
  must(session.wait(vmette_test::kDeadline));
  must(vmette::log_to_fd(-1, vmette::LogLevel::kOff));
}

TEST_CASE("without a root the built-in one takes a scratch disk as well") {
  for (const bool switch_root : {false, true}) {
    Config config;
    config.set_scratch_mib(4096).set_mem_mib(128).set_switch_root(switch_root);
    auto session = started(config);
    const auto ran = run_in(session,
                            "dd if=/dev/zero of=/tmp/big bs=1M count=200 2>/dev/null && "
                            "stat -c %s /tmp/big && busybox true && echo fine");
    INFO(ran.err);
    CHECK(ran.out == "209715200\nfine\n");
  }
}

TEST_CASE("what is no image is refused before anything starts") {
  const TempDir dir;
  const std::string image = image_of(dir, "squashfs");
  const auto refusal = [](Config& config) {
    auto session = vmette::Session::create(config);
    REQUIRE_FALSE(session);
    return text(session.error().message());
  };
  Config none;
  none.set_rootfs_block(dir.write("none", std::string(70000, 'x')));
  CHECK(contains(refusal(none), "holds no file system that is known here"));
  Config other;
  other.set_rootfs_block(image, "erofs");
  CHECK(contains(refusal(other), "is not a erofs image but squashfs"));
  std::filesystem::resize_file(image, 5000);
  Config cut;
  cut.set_rootfs("squashfs+file://" + image);
  CHECK(contains(refusal(cut), "is cut short"));
  Config both;
  both.set_rootfs(dir.path().string(), true).set_scratch_mib(64);
  CHECK(contains(refusal(both), "scratch_mib: 64 MiB would hold the writable layer"));
  Config nowhere;
  nowhere.set_scratch_mib(64).set_scratch_dir(dir / "nowhere");
  CHECK(contains(refusal(nowhere), "scratch_dir: '" + (dir / "nowhere") + "' cannot be used"));
  Config tiny;
  tiny.set_scratch_mib(15);
  CHECK(contains(refusal(tiny), "scratch_mib: 15 is out of range"));
}

TEST_CASE(
    "an image that vanishes before the start, and one that is damaged, fail with the reason") {
  const TempDir dir;
  const std::string image = image_of(dir, "squashfs");
  Config config;
  config.set_rootfs_block(image);
  auto session = created(config);
  std::filesystem::remove(image);
  must(session.launch());
  const auto outcome = session.wait_ready(vmette_test::kDeadline);
  REQUIRE_FALSE(outcome);
  CHECK(contains(text(outcome.error().message()), "rootfs: '" + image + "' cannot be used"));

  // The superblock is fine, what it points to is not.
  const std::string broken = image_of(dir, "squashfs");
  {
    std::fstream file(broken, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(96);
    const auto left = std::filesystem::file_size(broken) - 96;
    file << std::string(left, '\xff');
  }
  Config damaged;
  damaged.set_rootfs_block(broken);
  const auto error = start_error(damaged);
  INFO(error.message());
  CHECK(contains(text(error.message()), "cannot mount squashfs"));
}
