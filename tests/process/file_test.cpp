// Files of a running machine: one call, one answer.
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "machine.h"
#include "support/catch.h"

namespace vmette_test {
namespace {

using vmette::ErrorCode;
using vmette::FileFlags;
using vmette::FileType;

constexpr size_t kMost = size_t{1} << 20;

template <class T>
void worked(const vmette::result<T>& result) {
  INFO((result ? std::string() : std::string(result.error().message())));
  REQUIRE(result);
}

// The guest refused with this errno, and the message names the path.
template <class T>
void refused(const vmette::result<T>& result, int number, const std::string& path) {
  REQUIRE(!result);
  const std::string message(result.error().message());
  INFO(message);
  CHECK(result.error().code() == ErrorCode::kFile);
  CHECK(result.error().errno_value() == number);
  CHECK(message.find(path) != std::string::npos);
}

std::string content(const std::string& path, vmette::Session& session = machine()) {
  const auto file = session.read_file(path, kMost);
  worked(file);
  return std::string(file.value().data());
}

// An empty directory of the test's own.
std::string fresh(const std::string& name) {
  const std::string path = "/tmp/" + name;
  sh("rm -rf " + path + "; mkdir -p " + path);
  return path;
}

}  // namespace

TEST_CASE("A file comes back as it was written, whatever its bytes are") {
  const std::string path = fresh("bytes") + "/f";
  std::string bytes = pattern(0, 700'001);
  bytes += std::string("\0\xff\n", 3);
  worked(machine().write_file(path, bytes));
  CHECK(content(path) == bytes);
  worked(machine().write_file(path, ""));
  CHECK(content(path).empty());
  // What the kernel makes up as it is read has no size of its own.
  CHECK(content("/proc/version").find("Linux version") == 0);
}

TEST_CASE("A write makes, empties, appends or refuses as it is told") {
  const std::string dir = fresh("writes");
  worked(machine().write_file(dir + "/f", "one", FileFlags::kExclusive));
  refused(machine().write_file(dir + "/f", "two", FileFlags::kExclusive), EEXIST, dir + "/f");
  worked(machine().write_file(dir + "/f", "+", FileFlags::kAppend));
  CHECK(content(dir + "/f") == "one+");
  worked(machine().write_file(dir + "/f", "x"));
  CHECK(content(dir + "/f") == "x");
  refused(machine().write_file(dir + "/a/b/g", "y"), ENOENT, dir + "/a/b/g");
  worked(machine().write_file(dir + "/a/b/g", "y", FileFlags::kParents));
  CHECK(content(dir + "/a/b/g") == "y");
  refused(machine().write_file(dir + "/a", "y"), EISDIR, dir + "/a");
  refused(machine().write_file(dir + "/f/g", "y", FileFlags::kParents), ENOTDIR, dir + "/f/g");
}

TEST_CASE("A write keeps the mode of a file or sets the one that is given") {
  const std::string dir = fresh("modes");
  const auto mode_of = [&](const char* name) {
    return machine().stat(dir + "/" + name).value().mode();
  };
  worked(machine().write_file(dir + "/f", "x"));
  CHECK(mode_of("f") == 0644);
  worked(machine().write_file(dir + "/f", "x", FileFlags::kNone, 04777));
  CHECK(mode_of("f") == 04777);
  sh("chown 7:8 " + dir + "/f; chmod 0640 " + dir + "/f");
  worked(machine().write_file(dir + "/f", "y", FileFlags::kAtomic));
  CHECK(mode_of("f") == 0640);
  CHECK(machine().stat(dir + "/f").value().uid() == 7);
  worked(machine().write_file(dir + "/f", "y", FileFlags::kAtomic, 0600));
  CHECK(mode_of("f") == 0600);
  worked(machine().write_file(dir + "/new", "y", FileFlags::kAtomic));
  CHECK(mode_of("new") == 0644);
}

TEST_CASE("An atomic write replaces a file whole and leaves nothing beside it") {
  const std::string dir = fresh("atomic");
  worked(machine().write_file(dir + "/f", "old"));
  // A reader that holds the old file keeps it.
  vmette::Exec holder("exec 3< f; echo up; read x; cat <&3");
  holder.set_cwd(dir).set_stdin(vmette::Stdio::kPipe).set_stdout(vmette::Stdio::kPipe);
  const vmette::Process reader = start(machine(), holder);
  REQUIRE(read_all(reader.fd(vmette::Stream::kStdout), 3) == "up\n");
  worked(machine().write_file(dir + "/f", "new", FileFlags::kAtomic));
  REQUIRE(write_all(reader.fd(vmette::Stream::kStdin), "\n"));
  CHECK(read_all(reader.fd(vmette::Stream::kStdout)) == "old");
  CHECK(content(dir + "/f") == "new");
  refused(machine().write_file(dir + "/f", "x", FileFlags::kAtomic | FileFlags::kExclusive), EEXIST,
          dir + "/f");
  refused(machine().write_file(dir, "x", FileFlags::kAtomic), EISDIR, dir);
  CHECK(sh("ls -A " + dir).out == "f\n");
}

TEST_CASE("Stat tells what a file is, and of a link what it says or where it leads") {
  const std::string dir = fresh("stat");
  worked(machine().write_file(dir + "/f", "12345", FileFlags::kNone, 0640));
  worked(machine().symlink("f", dir + "/link"));
  worked(machine().symlink("nowhere", dir + "/dangling"));
  sh("cd " + dir + "; mkfifo pipe; mknod node c 1 3; truncate -s 1M holes");
  const auto file = machine().stat(dir + "/f");
  worked(file);
  CHECK(file.value().type() == FileType::kRegular);
  CHECK(file.value().size() == 5);
  CHECK(file.value().mode() == 0640);
  CHECK((*file.value()).links() == 1);
  CHECK((*file.value()).inode() != 0);
  const auto link = machine().stat(dir + "/link");
  worked(link);
  CHECK(link.value().type() == FileType::kSymlink);
  CHECK(link.value().target() == "f");
  const auto followed = machine().stat(dir + "/link", FileFlags::kFollow);
  worked(followed);
  CHECK(followed.value().size() == 5);
  refused(machine().stat(dir + "/dangling", FileFlags::kFollow), ENOENT, dir + "/dangling");
  CHECK(machine().stat(dir + "/pipe").value().type() == FileType::kFifo);
  const auto node = machine().stat(dir + "/node");
  CHECK(node.value().type() == FileType::kCharDevice);
  CHECK((*node.value()).device() == 0x103);
  const auto holes = machine().stat(dir + "/holes");
  CHECK(holes.value().size() == 1U << 20);
  CHECK(holes.value().disk_bytes() == 0);
  CHECK(machine().stat("/").value().type() == FileType::kDirectory);
  CHECK(machine().stat("/dev/../tmp/./stat").value().type() == FileType::kDirectory);
  refused(machine().stat(dir + "/f/x"), ENOTDIR, dir + "/f/x");
  refused(machine().stat("/" + std::string(300, 'n')), ENAMETOOLONG, "nnn");
  refused(machine().stat("/" + std::string(300'000, 'n')), ENAMETOOLONG, "nnn");
}

TEST_CASE("Exists is true for whatever is there, and false without an error") {
  const std::string dir = fresh("exists");
  worked(machine().symlink("nowhere", dir + "/dangling"));
  CHECK(machine().exists(dir).value());
  CHECK(machine().exists(dir + "/dangling").value());
  CHECK_FALSE(machine().exists(dir + "/nothing").value());
  CHECK_FALSE(machine().exists("/etc/passwd/x").value());
}

TEST_CASE("A listing holds every name, bytes as they are, sorted, and nothing else") {
  const std::string dir = fresh("list");
  const std::string odd = "\xff new\nline";
  worked(machine().write_file(dir + "/" + odd, "abc"));
  worked(machine().symlink("to", dir + "/b"));
  worked(machine().mkdir(dir + "/a"));
  const auto listing = machine().list(dir);
  worked(listing);
  REQUIRE(listing.value().size() == 3);
  CHECK(listing.value().name(0) == "a");
  CHECK(listing.value().stat(0).type() == FileType::kDirectory);
  CHECK(listing.value().name(1) == "b");
  CHECK(listing.value().stat(1).target() == "to");
  CHECK(listing.value().name(2) == odd);
  CHECK(listing.value().stat(2).size() == 3);
  CHECK(machine().list(dir + "/a").value().size() == 0);
  refused(machine().list(dir + "/" + odd), ENOTDIR, "? new line");
  refused(machine().list(dir + "/c"), ENOENT, dir + "/c");
}

TEST_CASE("A large directory is listed whole and removed whole while commands go on") {
  const std::string dir = fresh("large");
  sh("cd " + dir +
     "; mkdir -p d/e/f; ln -s /etc d/e/out; i=0; while [ $i -lt 3000 ]; do "
     ": > d/e/f/a-name-that-is-not-short-$i; i=$((i + 1)); done");
  const auto listing = machine().list(dir + "/d/e/f");
  worked(listing);
  CHECK(listing.value().size() == 3000);
  refused(machine().remove(dir + "/d"), ENOTEMPTY, dir + "/d");
  vmette::Process ticker = start(machine(), vmette::Exec("echo alive"));
  worked(machine().remove(dir + "/d", FileFlags::kRecursive));
  CHECK_FALSE(machine().exists(dir + "/d").value());
  CHECK(machine().exists("/etc/passwd").value());
  REQUIRE(ticker.wait(kLong));
}

TEST_CASE("Remove takes one thing, follows no link and stops at what is mounted") {
  const std::string dir = fresh("remove");
  worked(machine().write_file(dir + "/keep/f", "x", FileFlags::kParents));
  worked(machine().symlink("keep", dir + "/link"));
  worked(machine().remove(dir + "/link", FileFlags::kRecursive));
  CHECK(content(dir + "/keep/f") == "x");
  refused(machine().remove(dir + "/nothing"), ENOENT, dir + "/nothing");
  refused(machine().remove("/", FileFlags::kRecursive), EBUSY, "/");
  refused(machine().remove(dir + "/keep/.."), EINVAL, dir + "/keep/..");
  sh("mkdir -p " + dir + "/a/b/m; mount -t tmpfs t " + dir + "/a/b/m; touch " + dir + "/a/b/m/in");
  refused(machine().remove(dir + "/a", FileFlags::kRecursive), EBUSY, dir + "/a/b/m");
  CHECK(machine().exists(dir + "/a/b/m/in").value());
  sh("umount " + dir + "/a/b/m");
  worked(machine().remove(dir + "/a", FileFlags::kRecursive));
}

TEST_CASE("Directories, names, links, owners and times are changed as told") {
  const std::string dir = fresh("change");
  worked(machine().mkdir(dir + "/a", 01777));
  CHECK(machine().stat(dir + "/a").value().mode() == 01777);
  refused(machine().mkdir(dir + "/a"), EEXIST, dir + "/a");
  refused(machine().mkdir(dir + "/x/y"), ENOENT, dir + "/x/y");
  worked(machine().mkdir(dir + "/x/y/z", 0700, FileFlags::kParents));
  worked(machine().mkdir(dir + "/x/y/z", 0755, FileFlags::kParents));
  CHECK(machine().stat(dir + "/x/y/z").value().mode() == 0700);
  CHECK(machine().stat(dir + "/x/y").value().mode() == 0755);
  worked(machine().mkdir("/", 0755, FileFlags::kParents));

  worked(machine().write_file(dir + "/f", "f"));
  worked(machine().write_file(dir + "/g", "g"));
  refused(machine().mkdir(dir + "/f", 0755, FileFlags::kParents), EEXIST, dir + "/f");
  refused(machine().rename(dir + "/f", dir + "/g", FileFlags::kExclusive), EEXIST, dir + "/f");
  worked(machine().rename(dir + "/f", dir + "/g"));
  CHECK(content(dir + "/g") == "f");
  refused(machine().rename(dir + "/f", dir + "/h"), ENOENT, dir + "/f");

  worked(machine().symlink("g", dir + "/l"));
  refused(machine().symlink("g", dir + "/l"), EEXIST, dir + "/l");
  worked(machine().chmod(dir + "/l", 0600));
  CHECK(machine().stat(dir + "/g").value().mode() == 0600);
  worked(machine().chown(dir + "/l", 5, -1, FileFlags::kFollow));
  worked(machine().chown(dir + "/l", -1, 6));
  CHECK(machine().stat(dir + "/g").value().uid() == 5);
  CHECK(machine().stat(dir + "/g").value().gid() == 0);
  CHECK(machine().stat(dir + "/l").value().gid() == 6);
  for (const std::chrono::nanoseconds time :
       {std::chrono::nanoseconds(1'234'567'890'123'456'789), std::chrono::nanoseconds(-1)}) {
    worked(machine().set_mtime(dir + "/l", time, FileFlags::kFollow));
    CHECK(machine().stat(dir + "/g").value().mtime() == time);
  }
}

TEST_CASE("A file larger than the caller wants is an error, not a part of it") {
  const std::string path = fresh("most") + "/f";
  worked(machine().write_file(path, std::string(300'000, 'x')));
  CHECK(machine().read_file(path, 300'000).value().data().size() == 300'000);
  refused(machine().read_file(path, 299'999), EFBIG, path);
  refused(machine().read_file("/dev/zero", kMost), EFBIG, "/dev/zero");
  CHECK(sh("echo on").out == "on\n");
}

TEST_CASE("Nothing blocks on a pipe without a peer") {
  const std::string dir = fresh("fifo");
  sh("mkfifo " + dir + "/p");
  CHECK(content(dir + "/p").empty());
  refused(machine().write_file(dir + "/p", "x"), ENXIO, dir + "/p");
}

TEST_CASE("A file that takes no bytes refuses a write, and the guest goes on") {
  // The memory of a process that has none: write(2) answers 0 for ever, or open(2) refuses.
  const auto written =
      machine().write_file("/proc/2/mem", "x", FileFlags::kAppend, vmette::kKeepMode, kLong);
  REQUIRE(!written);
  CHECK(written.error().code() == ErrorCode::kFile);
  CHECK(sh("echo on").out == "on\n");
}

TEST_CASE("A full disk says so with its errno") {
  const std::string dir = fresh("full");
  sh("mount -t tmpfs -o size=64k t " + dir);
  refused(machine().write_file(dir + "/f", std::string(200'000, 'x')), ENOSPC, dir + "/f");
  refused(machine().write_file(dir + "/g", std::string(200'000, 'x'), FileFlags::kAtomic), ENOSPC,
          dir + "/g");
  CHECK(sh("ls -A " + dir + "; umount " + dir).out == "f\n");
}

TEST_CASE("Wrong arguments are told apart from what the guest says") {
  const auto wrong = [](const auto& result, const char* message) {
    REQUIRE(!result);
    INFO(std::string(result.error().message()));
    CHECK(result.error().code() == ErrorCode::kInvalidArgument);
    CHECK(std::string(result.error().message()).find(message) != std::string::npos);
  };
  wrong(machine().stat("tmp"), "'tmp' is not absolute; start it with '/'");
  wrong(machine().stat(""), "'' is not absolute");
  wrong(machine().rename("/a", "b"), "to: 'b' is not absolute");
  wrong(machine().stat(std::string("/a\0b", 4)), "NUL byte");
  wrong(machine().stat("/", FileFlags::kRecursive), "'flags' is 4");
  wrong(machine().mkdir("/x", 010000), "'mode' is 010000");
  wrong(machine().symlink("", "/x"), "target");
  wrong(machine().chown("/", -2, 0), "'uid' is -2");
  wrong(machine().write_file("/x", "", FileFlags::kAtomic | FileFlags::kAppend), "exclude");
}

TEST_CASE("A call to a paused machine ends at the caller's deadline, and works later") {
  vmette::Session& session = machine();
  REQUIRE(session.pause());
  const auto late = session.exists("/", std::chrono::milliseconds(50));
  REQUIRE(!late);
  CHECK(late.error().code() == ErrorCode::kDeadline);
  REQUIRE(session.unpause());
  CHECK(session.exists("/").value());
}

TEST_CASE("The guest's figures are plausible and change with what happens in it") {
  const auto before = machine().stats();
  worked(before);
  const vmette::Stats& stats = before.value();
  CHECK(stats.uptime().count() > 0);
  CHECK(stats.memory_kib() > 128 * 1024);
  CHECK(stats.memory_kib() < 256 * 1024);
  CHECK(stats.memory_available_kib() < stats.memory_kib());
  CHECK(stats.processes() > 1);
  CHECK(stats.load(3) == 0);
  CHECK(stats.root_bytes() > stats.root_available_bytes());
  sh("dd if=/dev/zero of=/tmp/ballast bs=1M count=8 2>/dev/null");
  vmette::Exec sleeper("exec sleep 1000");
  vmette::Process process = start(machine(), sleeper);
  REQUIRE(process.wait_started(kLong));
  const auto after = machine().stats();
  worked(after);
  CHECK(after.value().uptime() > stats.uptime());
  CHECK(after.value().root_available_bytes() + (8U << 20) <= stats.root_available_bytes());
  REQUIRE(process.kill());
  worked(machine().remove("/tmp/ballast"));
}

TEST_CASE("With a directory of the host as root, calls see the root that commands see") {
  vmette::Config config;
  config.set_mem_mib(192).set_rootfs_share("/");
  vmette::Session session = boot(config);
  worked(session.write_file("/root/vmette-test-file", "in the overlay"));
  CHECK(run(session, vmette::Exec("cat /root/vmette-test-file")).out == "in the overlay");
  CHECK(::access("/root/vmette-test-file", F_OK) != 0);
  // Neither ".." nor an absolute link leads to the agent's own root.
  CHECK(session.exists("/../../usr/bin/env").value());
  worked(session.symlink("/etc/passwd", "/root/link"));
  CHECK(content("/root/link", session) == run(session, vmette::Exec("cat /etc/passwd")).out);
  CHECK(session.stats().value().root_bytes() > 0);
}

}  // namespace vmette_test
