// Directory trees between the host and a running machine.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "machine.h"
#include "support/catch.h"
#include "support/footprint.h"
#include "support/temp_dir.h"

namespace vmette_test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using vmette::CopyOptions;
using vmette::ErrorCode;
using vmette::FileFlags;

vmette::Copied worked(vmette::result<vmette::Copied> result) {
  INFO((result ? std::string() : std::string(result.error().message())));
  REQUIRE(result);
  return std::move(result).value();
}

vmette::Error failed(const vmette::result<vmette::Copied>& result) {
  REQUIRE(!result);
  INFO(std::string(result.error().message()));
  return result.error();
}

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// What a shell in the guest says of a tree: type, mode, size and time of each entry, and content.
constexpr const char* kDescribe =
    "find . | sort | while read -r f; do stat -c '%n %F %a %Y' \"$f\"; done; "
    "find . -type f | sort | xargs md5sum; readlink link; stat -c '%b' sparse";

std::string described(const std::string& directory) {
  vmette::Exec exec(kDescribe);
  exec.set_cwd(directory);
  return run(machine(), exec).out;
}

void grow(const TempDir& dir) {
  (void)dir.write("t/a/b/file", pattern(0, 300'000));
  (void)dir.write("t/script", "#!/bin/sh\n");
  fs::permissions(dir / "t/script", fs::perms::owner_all);
  fs::create_directories(dir / "t/empty");
  fs::create_symlink("a/b/file", dir / "t/link");
  fs::resize_file(dir.write("t/sparse", "x"), 16U << 20);
  const timespec times[2] = {{0, UTIME_OMIT}, {1'000'000'000, 5}};
  REQUIRE(::utimensat(AT_FDCWD, (dir / "t/script").c_str(), times, 0) == 0);
}

}  // namespace

TEST_CASE("A tree goes into the machine and comes back as it was") {
  const TempDir dir;
  grow(dir);
  sh("rm -rf /tmp/tree");
  const vmette::Copied in = worked(machine().copy_in(dir / "t", "/tmp/tree"));
  CHECK(in.entries() == 8);
  CHECK(in.bytes() < 400'000);
  CHECK(sh("cat /tmp/tree/link | md5sum").out == sh("md5sum < /tmp/tree/a/b/file").out);
  const auto script = machine().stat("/tmp/tree/script");
  CHECK(script.value().mode() == 0700);
  CHECK(script.value().mtime() == std::chrono::nanoseconds(1'000'000'000'000'000'005));
  const auto sparse = machine().stat("/tmp/tree/sparse");
  CHECK(sparse.value().size() == 16U << 20);
  CHECK(sparse.value().disk_bytes() <= 4096);

  const vmette::Copied out = worked(machine().copy_out("/tmp/tree", dir / "back"));
  CHECK(out.entries() == in.entries());
  CHECK(content(dir / "back/a/b/file") == pattern(0, 300'000));
  CHECK(fs::read_symlink(dir / "back/link") == "a/b/file");
  CHECK(fs::is_empty(dir / "back/empty"));
  CHECK(fs::last_write_time(dir / "back/script") == fs::last_write_time(dir / "t/script"));
  struct stat status{};
  REQUIRE(::stat((dir / "back/sparse").c_str(), &status) == 0);
  CHECK(status.st_size == 16 << 20);
  CHECK(status.st_blocks * 512 < 1 << 20);

  // In again under another name, the guest sees the same.
  sh("rm -rf /tmp/again");
  worked(machine().copy_in(dir / "back", "/tmp/again"));
  CHECK(described("/tmp/again") == described("/tmp/tree"));
}

TEST_CASE("One file goes both ways, and parents are made on request") {
  const TempDir dir;
  const std::string file = dir.write("f", "one file");
  CopyOptions parents;
  parents.flags = FileFlags::kParents;
  sh("rm -rf /tmp/new");
  const vmette::Error missing = failed(machine().copy_in(file, "/tmp/new/a/f"));
  CHECK(missing.code() == ErrorCode::kFile);
  CHECK(missing.errno_value() == ENOENT);
  worked(machine().copy_in(file, "/tmp/new/a/f", parents));
  CHECK(sh("cat /tmp/new/a/f").out == "one file");
  const vmette::Error no_parent = failed(machine().copy_out("/tmp/new/a/f", dir / "x/y/f"));
  CHECK(no_parent.code() == ErrorCode::kIo);
  CHECK(no_parent.errno_value() == ENOENT);
  worked(machine().copy_out("/tmp/new/a/f", dir / "x/y/f", parents));
  CHECK(content(dir / "x/y/f") == "one file");
}

TEST_CASE("What a hostile guest puts into a tree stays harmless on the host") {
  const TempDir dir;
  (void)dir.write("outside", "untouched");
  fs::create_directories(dir / "out");
  fs::create_symlink("../outside", dir / "out/f");
  sh("rm -rf /tmp/bad; mkdir /tmp/bad; cd /tmp/bad; echo x > f; chmod 6777 f; "
     "ln -s /etc/passwd passwd; mknod null c 1 3; mkfifo pipe; mkdir sticky; chmod 7777 sticky");
  const vmette::Copied copied = worked(machine().copy_out("/tmp/bad", dir / "out"));
  CHECK(copied.skipped() == 2);
  CHECK(content(dir / "outside") == "untouched");
  CHECK(content(dir / "out/f") == "x\n");
  CHECK(fs::status(dir / "out/f").permissions() == fs::perms::all);
  CHECK(fs::status(dir / "out/sticky").permissions() == fs::perms::all);
  CHECK(fs::read_symlink(dir / "out/passwd") == "/etc/passwd");
  CHECK_FALSE(fs::exists(fs::symlink_status(dir / "out/null")));
}

TEST_CASE("Owners are kept on request where the host program may give files away") {
  const TempDir dir;
  const std::string file = dir.write("f", "x");
  const bool root = ::geteuid() == 0;
  if (root) REQUIRE(::chown(file.c_str(), 77, 78) == 0);
  CopyOptions owners;
  owners.flags = FileFlags::kOwners;
  worked(machine().copy_in(file, "/tmp/owned", owners));
  worked(machine().copy_in(file, "/tmp/unowned"));
  if (root) CHECK(machine().stat("/tmp/owned").value().uid() == 77);
  CHECK(machine().stat("/tmp/unowned").value().uid() == 0);
  sh("chown 91:92 /tmp/owned");
  if (!root) return;
  worked(machine().copy_out("/tmp/owned", dir / "back", owners));
  struct stat status{};
  REQUIRE(::stat((dir / "back").c_str(), &status) == 0);
  CHECK(status.st_uid == 91);
  CHECK(status.st_gid == 92);
}

TEST_CASE("Progress is told and can give a copy up") {
  const TempDir dir;
  (void)dir.write("t/large", pattern(0, 3'000'000));
  uint64_t last = 0;
  bool named = false;
  CopyOptions options;
  options.progress = [&](std::string_view path, uint64_t bytes, uint64_t) {
    CHECK(bytes >= last);
    last = bytes;
    named = named || path == "large";
    return true;
  };
  worked(machine().copy_in(dir / "t", "/tmp/progress", options));
  CHECK(last == 3'000'000);
  CHECK(named);
  options.progress = [](std::string_view, uint64_t bytes, uint64_t) { return bytes < 1'000'000; };
  CHECK(failed(machine().copy_in(dir / "t", "/tmp/given-up", options)).code() ==
        ErrorCode::kCancelled);
  CHECK(failed(machine().copy_out("/tmp/progress", dir / "u", options)).code() ==
        ErrorCode::kCancelled);
  CHECK(sh("echo on").out == "on\n");
}

TEST_CASE("A copy says what went wrong and where, and leaves no descriptor behind") {
  const TempDir dir;
  (void)dir.write("t/f", std::string(3'000'000, 'x'));
  sh("mkdir -p /mnt/small; mount -t tmpfs -o size=1m t /mnt/small");
  sh("true");
  const size_t before = open_descriptors();
  const vmette::Error full = failed(machine().copy_in(dir / "t", "/mnt/small/t"));
  CHECK(full.errno_value() == ENOSPC);
  CHECK(std::string(full.message()) == "unpack /mnt/small/t/f: No space left on device");
  CHECK(failed(machine().copy_in(dir / "none", "/tmp/x")).code() == ErrorCode::kIo);
  CHECK(failed(machine().copy_out("/tmp/none", dir / "x")).errno_value() == ENOENT);
  CHECK(failed(machine().copy_out("/dev/null", dir / "x")).errno_value() == EINVAL);
  CHECK(failed(machine().copy_in(dir / "t", "tmp")).code() == ErrorCode::kInvalidArgument);
  CopyOptions bounded;
  bounded.most_bytes = 10;
  sh("echo more than ten bytes > /tmp/ten");
  CHECK(failed(machine().copy_out("/tmp/ten", dir / "ten", bounded)).errno_value() == EFBIG);
  for (int i = 0; i < 600 && open_descriptors() > before; ++i) sh("true");
  CHECK(open_descriptors() <= before);
  sh("umount /mnt/small");
}

TEST_CASE("A copy to a paused machine ends at the caller's deadline") {
  const TempDir dir;
  (void)dir.write("t/f", std::string(3'000'000, 'x'));
  CopyOptions options;
  options.timeout = milliseconds(100);
  vmette::Session& session = machine();  // asked anew, it would be another one
  REQUIRE(session.pause());
  CHECK(failed(session.copy_in(dir / "t", "/tmp/late", options)).code() == ErrorCode::kDeadline);
  CHECK(failed(session.copy_out("/etc", dir / "x", options)).code() == ErrorCode::kDeadline);
  REQUIRE(session.unpause());
  CHECK(sh("echo on").out == "on\n");
}

}  // namespace vmette_test
