// Machines that are saved while they run.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "snapshot/saved.h"
#include "support/images.h"
#include "support/mounted.h"
#include "support/text.h"

using vmette::Config;
using vmette::ErrorCode;
using vmette::Exec;
using vmette::Session;
using vmette_test::contains;
using vmette_test::eventually;
using vmette_test::kDeadline;
using vmette_test::make_image;
using vmette_test::Mounted;
using vmette_test::must;
using vmette_test::own_helpers;
using vmette_test::run_in;
using vmette_test::run_program;
using vmette_test::says;
using vmette_test::small_machine;
using vmette_test::started;
using vmette_test::TempDir;
using vmette_test::text;

namespace {

// A root that needs no more than a shell.
std::string small_root(const TempDir& dir) {
  const auto tree = dir.path() / "root";
  for (const char* place : {"bin", "proc", "sys", "dev", "tmp", "run", "etc"})
    std::filesystem::create_directories(tree / place);
  std::filesystem::copy_file("/bin/busybox", tree / "bin/busybox");
  for (const char* name : {"sh", "cat", "ls"})
    std::filesystem::create_symlink("busybox", tree / "bin" / name);
  (void)dir.write("root/from", "the directory\n");
  return tree.string();
}

// A program of the host, with the libraries that it is linked to, into a root.
void copy_with_libraries(const std::string& program, const std::string& root) {
  std::istringstream words(program + " " + run_program({"ldd", program}).out);
  for (std::string word; words >> word;) {
    if (word[0] != '/') continue;
    const std::string to = root + word;
    std::filesystem::create_directories(std::filesystem::path(to).parent_path());
    std::filesystem::copy_file(word, to, std::filesystem::copy_options::skip_existing);
  }
}

vmette::Error refusal(vmette::result<vmette::Snapshot> outcome) {
  REQUIRE_FALSE(outcome);
  INFO(outcome.error().message());
  return outcome.error();
}

}  // namespace

TEST_CASE("a session goes on after it was saved, and its streams lose nothing") {
  const TempDir dir;
  auto session = started(small_machine());
  auto talker = must(session.exec(
      Exec("for i in $(seq 1 2000); do echo line $i of the stream; done; sleep 0.2; echo end")));
  const auto snapshot = must(session.snapshot(dir / "one"));
  CHECK(snapshot.mem_mib() == 128);
  CHECK(snapshot.pause().count() > 0);
  must(talker.wait(kDeadline));
  const std::string out = text(must(talker.output()).stdout_text());
  CHECK(std::count(out.begin(), out.end(), '\n') == 2001);
  CHECK(contains(out, "line 2000 of the stream\nend\n"));
  CHECK(says(session, "echo alive") == "alive");
  CHECK(std::filesystem::exists(dir / "one/manifest.json"));
  // Nothing else is left in the directory.
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("commands that are asked for during a save run after it") {
  const TempDir dir;
  auto session = started(small_machine());
  std::thread saver([&] { (void)session.snapshot(dir / "one"); });
  std::vector<std::string> answers;
  for (int i = 0; i < 20; ++i) answers.push_back(says(session, "echo " + std::to_string(i)));
  saver.join();
  for (int i = 0; i < 20; ++i) CHECK(answers[static_cast<size_t>(i)] == std::to_string(i));
}

TEST_CASE("a session that was not made for it says what stands in the way, and how") {
  const TempDir dir;
  Config plain;
  plain.set_mem_mib(128).add_share("code", dir.path().string(), true);
  auto session = started(plain);
  const auto error = refusal(session.snapshot(dir / "one"));
  CHECK(error.code() == ErrorCode::kSnapshot);
  CHECK(contains(text(error.message()), "share 'code'"));
  CHECK(contains(text(error.message()), "snapshottable"));
  const auto forked = session.fork(2);
  REQUIRE_FALSE(forked);
  CHECK(contains(text(forked.error().message()), "snapshottable"));
  CHECK(says(session, "echo alive") == "alive");
}

TEST_CASE("build_snapshot is for run(), and a session says so") {
  auto config = small_machine();
  config.set_exec("true").set_build_snapshot("/nowhere");
  const auto session = Session::create(config);
  REQUIRE_FALSE(session);
  CHECK(session.error().code() == ErrorCode::kInvalidConfig);
  CHECK(contains(text(session.error().message()), "/nowhere"));
}

TEST_CASE("a snapshot's place must be free, and two builders of one path do not mix") {
  const TempDir dir;
  auto session = started(small_machine());
  std::filesystem::create_directory(dir / "taken");
  CHECK(contains(text(refusal(session.snapshot(dir / "taken")).message()), "taken"));
  CHECK(contains(text(refusal(session.snapshot(dir / "no/such/place")).message()), "no/such"));

  auto other = started(small_machine());
  std::vector<int> won(2);
  std::thread one([&] { won[0] = session.snapshot(dir / "race") ? 1 : 0; });
  std::thread two([&] { won[1] = other.snapshot(dir / "race") ? 1 : 0; });
  one.join();
  two.join();
  CHECK(won[0] + won[1] == 1);
  must(vmette::Snapshot::open(dir / "race"));
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 2);
  CHECK(says(session, "echo alive") == "alive");
  CHECK(says(other, "echo alive") == "alive");
}

TEST_CASE("shares are away during a save and back after it; one in use is named") {
  const TempDir dir;
  (void)dir.write("work/note", "from the host");
  auto config = small_machine();
  config.add_share("code", (dir / "work"), false);
  auto session = started(config);
  Exec sleep(std::vector<std::string>{"sleep", "1000"});
  auto user = must(session.exec(sleep.set_cwd("/mnt/code")));
  must(user.wait_started(kDeadline));
  const auto busy = refusal(session.snapshot(dir / "one"));
  CHECK(contains(text(busy.message()), "/mnt/code"));
  CHECK(contains(text(busy.message()), "sleep"));
  CHECK(says(session, "cat /mnt/code/note") == "from the host");
  must(user.kill());
  must(user.wait(kDeadline));
  const auto snapshot = must(session.snapshot(dir / "one"));
  CHECK(says(session, "cat /mnt/code/note") == "from the host");
  auto clone = must(snapshot.resume());
  CHECK(says(clone, "cat /mnt/code/note") == "from the host");
  // Another directory in the same place.
  (void)dir.write("other/note", "from elsewhere");
  Config moved;
  moved.add_share("code", (dir / "other"), true);
  auto second = must(snapshot.resume(moved));
  CHECK(says(second, "cat /mnt/code/note") == "from elsewhere");
}

TEST_CASE("a fork's sessions begin as the session is, and leave nothing behind") {
  const TempDir scratch;
  auto config = small_machine();
  config.set_scratch_dir(scratch.path().string());
  auto session = started(config);
  (void)says(session, "echo shared >/tmp/state");
  auto copies = must(session.fork(3));
  REQUIRE(copies.size() == 3);
  CHECK(std::filesystem::is_empty(scratch.path()));
  for (size_t i = 0; i < copies.size(); ++i)
    (void)says(copies[i], "cat /tmp/state && echo copy " + std::to_string(i) + " >/tmp/state");
  for (size_t i = 0; i < copies.size(); ++i)
    CHECK(says(copies[i], "cat /tmp/state") == "copy " + std::to_string(i));
  CHECK(says(session, "cat /tmp/state") == "shared");
}

TEST_CASE("a resumed machine is saved again, and what that gives is a snapshot like any other") {
  const TempDir dir;
  auto session = started(small_machine());
  (void)says(session, "echo first >/tmp/log");
  const auto first = must(session.snapshot(dir / "first"));
  auto clone = must(first.resume());
  (void)says(clone, "echo second >>/tmp/log");
  const auto second = must(clone.snapshot(dir / "second"));
  CHECK(says(clone, "cat /tmp/log") == "first\nsecond");
  must(vmette::Snapshot::remove(dir / "first"));
  auto grandchild = must(second.resume());
  CHECK(says(grandchild, "cat /tmp/log") == "first\nsecond");
  // Its memory is the file's again, not a stream's.
  CHECK(std::filesystem::file_size(dir / "second/devices") < (size_t{8} << 20));
}

TEST_CASE("twenty cycles of pause, write, snapshot and resume lose no byte") {
  const TempDir dir;
  auto config = small_machine();
  config.set_scratch_mib(64).set_scratch_dir(dir.path().string());
  auto session = std::make_unique<Session>(started(config));
  (void)says(*session, "mkdir -p /data/tree");
  std::string sums;
  for (int cycle = 0; cycle < 20; ++cycle) {
    INFO("cycle " << cycle);
    must(session->pause());
    must(session->unpause());
    const std::string n = std::to_string(cycle);
    sums = says(*session, "dd if=/dev/urandom of=/data/tree/" + n +
                              " bs=64k count=4 2>/dev/null; cd /data/tree && md5sum *");
    const std::string path = dir / ("cycle" + n);
    const auto snapshot = must(session->snapshot(path));
    session = std::make_unique<Session>(must(snapshot.resume()));
    must(vmette::Snapshot::remove(path));
    CHECK(says(*session, "cd /data/tree && md5sum *") == sums);
  }
}

TEST_CASE("a directory as root is packed once, and the snapshot keeps the image") {
  const TempDir dir;
  const std::string root = small_root(dir);
  Config config;
  config.set_mem_mib(128).set_rootfs_share(root, false).set_cache_dir(dir / "cache");
  config.set_exec("echo warm >/etc/warm");
  const auto first = must(vmette::Snapshot::build(config, dir / "first"));
  // What comes later is not in it, and needs no name of the first any more.
  (void)dir.write("root/late", "too late");
  auto clone = must(first.resume());
  CHECK(says(clone, "cat /from /etc/warm; ls /late 2>/dev/null || echo no") ==
        "the directory\nwarm\nno");
  must(vmette::Snapshot::remove(dir / "first"));
  std::filesystem::remove_all(dir / "cache");
  const auto second = must(clone.snapshot(dir / "second"));
  auto grandchild = must(second.resume());
  CHECK(says(grandchild, "cat /from /etc/warm") == "the directory\nwarm");
}

TEST_CASE("host keys that clones make differ") {
  const std::string program = "/usr/bin/ssh-keygen";
  if (access(program.c_str(), X_OK) != 0) {
    WARN("skipped: needs ssh-keygen (openssh-client)");
    return;
  }
  const TempDir dir;
  const std::string root = small_root(dir);
  copy_with_libraries(program, root);
  (void)dir.write("root/etc/passwd", "root:x:0:0:root:/:/bin/sh\n");
  auto config = small_machine();
  config.set_rootfs_share(root, false).set_cache_dir(dir / "cache");
  auto session = started(config);
  auto copies = must(session.fork(2));
  copies.push_back(std::move(session));
  std::set<std::string> keys;
  for (Session& copy : copies)
    keys.insert(says(copy, "ssh-keygen -q -t ed25519 -N '' -f /tmp/key && cat /tmp/key.pub"));
  CHECK(keys.size() == copies.size());
}

TEST_CASE("an image that was replaced after the save is refused, and so is one that is gone") {
  const TempDir dir;
  const std::string root = small_root(dir);
  const std::string image = dir / "root.img";
  make_image("squashfs", root, image);
  auto config = small_machine();
  config.set_rootfs_block(image);
  auto session = started(config);
  const auto snapshot = must(session.snapshot(dir / "one"));
  {
    auto clone = must(snapshot.resume());
  }
  std::filesystem::remove(image);
  (void)dir.write("root/from", "another directory");
  make_image("squashfs", root, image);
  for (const bool gone : {false, true}) {
    if (gone) std::filesystem::remove(image);
    const auto resumed = snapshot.resume();
    REQUIRE_FALSE(resumed);
    INFO(resumed.error().message());
    CHECK(resumed.error().code() == ErrorCode::kRestoreFailed);
    CHECK(contains(text(resumed.error().message()), image));
  }
}

TEST_CASE("a disk that fills up while a machine is saved ends the save, not the machine") {
  if (geteuid() != 0) {
    WARN("skipped: mounts a small file system, which needs root");
    return;
  }
  const TempDir dir;
  const Mounted small(dir.path().string(), "size=8m");
  auto session = started(small_machine());
  const auto error = refusal(session.snapshot(dir / "one"));
  CHECK(contains(text(error.message()), "No space left"));
  CHECK(std::filesystem::is_empty(dir.path()));
  CHECK(says(session, "echo alive") == "alive");
}

TEST_CASE("a writable disk is saved with the machine, and a resume's writes stay its own") {
  const TempDir dir;
  const std::string disk = dir.write("disk.img", std::string(size_t{1} << 20, '\0'));
  auto config = small_machine();
  config.add_disk(disk, false).set_scratch_dir(dir.path().string());
  auto session = started(config);
  (void)says(session, "echo saved | dd of=/dev/vmette/disk0 conv=notrunc 2>/dev/null; sync");
  const auto snapshot = must(session.snapshot(dir / "one"));
  must(session.stop(100));
  auto clone = must(snapshot.resume());
  CHECK(says(clone, "head -n 1 /dev/vmette/disk0") == "saved");
  (void)says(clone, "echo clone | dd of=/dev/vmette/disk0 conv=notrunc 2>/dev/null; sync");
  auto other = must(snapshot.resume());
  CHECK(says(other, "head -n 1 /dev/vmette/disk0") == "saved");
}
