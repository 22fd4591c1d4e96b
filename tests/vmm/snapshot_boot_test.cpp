// Saving and restoring with a real QEMU and a guest that answers.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/catch.h"
#include "vmm/guest.h"
#include "vmm/helper.h"

using namespace vmette_test;
using nlohmann::json;
using vmette::vmm::Machine;
using vmette::vmm::to_json;

namespace {

Machine saved_machine() {
  Machine machine = bare_machine();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  machine.initramfs = std::string(std::getenv("VMETTE_ASSETS_DIR")) + "/x86_64/initramfs.cpio";
  machine.cmdline = "quiet";
  machine.snapshottable = true;
  return machine;
}

// `machine`, as it goes on from a snapshot of the one that `created` tells of.
Machine restored_machine(Machine machine, const std::string& dir, const json& created) {
  machine.snapshottable = false;
  machine.restore = dir;
  machine.cmdline = created["ok"]["cmdline"];
  if (machine.scratch) machine.scratch->image = dir + "/scratch";
  return machine;
}

json create(Helper& helper, const Machine& machine) {
  json created = helper.call("create", to_json(machine));
  INFO(created.dump());
  REQUIRE(created.contains("ok"));
  return created;
}

void start(Helper& helper) {
  const json started = helper.call("start");
  INFO(started.dump());
  REQUIRE(started.contains("ok"));
}

json save(Helper& helper, const std::string& dir, bool resume = true) {
  json saved = helper.call("save", {{"dir", dir}, {"resume", resume}});
  INFO(saved.dump());
  REQUIRE(saved.contains("ok"));
  return saved["ok"];
}

// A guest that answers.
Guest boot(Helper& helper, const vmette::wire::Setup& setup = {}) {
  Guest guest(helper.take_fd());
  start(helper);
  guest.await_hello();
  guest.set_up(setup);
  return guest;
}

uint64_t stored_bytes(const std::string& path) {
  struct stat info{};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

std::vector<std::string> names_in(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::string bytes_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("a machine that was saved goes on, and clones of it go on from there") {
  const TemporaryFolder folder;
  const std::string dir = folder.path() + "/snapshot";
  Helper helper;
  const Machine machine = saved_machine();
  const json created = create(helper, machine);
  const json& identity = created["ok"]["identity"];
  CHECK(identity["hypervisor"] == "qemu");
  CHECK(identity["version"].get<std::string>().find('.') != std::string::npos);
  Guest guest = boot(helper);
  guest.run("echo from before >/tmp/file");

  const json saved = save(helper, dir);
  CHECK(helper.wait_for("continued").is_object());
  CHECK(saved["pause_us"].get<int64_t>() > 0);
  UNSCOPED_INFO(saved.dump());
  REQUIRE(saved["files"].size() == 2);
  CHECK(saved["files"][1]["name"] == "ram");
  CHECK(saved["files"][1]["size"] == uint64_t{256} << 20);
  CHECK(saved["files"][1]["stored"] < uint64_t{128} << 20);
  CHECK(guest.run("cat /tmp/file; echo later >>/tmp/file") == "from before\n");

  const std::string ram = bytes_of(dir + "/ram");
  {
    Helper first;
    Helper second;
    create(first, restored_machine(machine, dir, created));
    create(second, restored_machine(machine, dir, created));
    Guest guests[] = {Guest(first.take_fd(), guest), Guest(second.take_fd(), guest)};
    start(first);
    start(second);
    for (Guest& clone : guests) {
      CHECK(clone.run("cat /tmp/file") == "from before\n");
      clone.run("head -c 3000000 /dev/urandom >/tmp/noise");
    }
  }
  CHECK((bytes_of(dir + "/ram") == ram));  // not to be printed
  CHECK(guest.run("cat /tmp/file") == "from before\nlater\n");
  // A directory that still has its name goes with the helper.
  helper.hang_up();
  CHECK(helper.wait() == 0);
  CHECK(access(dir.c_str(), F_OK) != 0);
}

TEST_CASE("a machine that was itself restored is saved like any other, again and again") {
  const TemporaryFolder folder;
  const auto dir = [&](int i) { return folder.path() + "/" + std::to_string(i); };
  Machine machine = saved_machine();
  const std::string image = folder.write("image", std::string(1 << 20, 'r'));
  machine.disks = {{image, "image", true}};
  machine.scratch = vmette::vmm::Scratch{folder.path(), "scratch", 64};
  Helper booted;
  const json created = create(booted, machine);
  vmette::wire::Setup setup;
  setup.root.upper = vmette::wire::UpperKind::kDisk;
  setup.root.upper_source = "scratch";
  Guest guest = boot(booted, setup);
  guest.run("echo 0 >/log; head -c 1000000 /dev/urandom >/tmp/a; md5sum /tmp/a >/tmp/sum");
  save(booted, dir(0));
  const std::string ram = bytes_of(dir(0) + "/ram");

  std::string log = "0\n";
  for (int i = 0; i < 3; ++i) {
    Helper helper;
    create(helper, restored_machine(machine, dir(i), created));
    Guest clone(helper.take_fd(), guest);
    start(helper);
    CHECK(clone.run("cat /log; md5sum -cs /tmp/sum && echo \"" + std::to_string(i + 1) +
                    "\" >>/log") == log);
    log += std::to_string(i + 1) + "\n";
    const json saved = save(helper, dir(i + 1), i % 2 == 0);
    INFO(saved.dump());
    CHECK(names_in(dir(i + 1)) == std::vector<std::string>{"devices", "ram", "scratch"});
    // Pages of zeros cost nothing, and the memory is not in the stream any more.
    CHECK(stored_bytes(dir(i + 1) + "/ram") < uint64_t{128} << 20);
    CHECK(stored_bytes(dir(i + 1) + "/devices") < uint64_t{4} << 20);
    if (i % 2 != 0) REQUIRE(helper.call("resume").contains("ok"));
    CHECK(clone.run("cat /log") == log);
    // Its helper takes away what keeps its name.
    std::filesystem::rename(dir(i + 1), dir(i + 1) + "-done");
    helper.hang_up();
    CHECK(helper.wait() == 0);
    std::filesystem::rename(dir(i + 1) + "-done", dir(i + 1));
    guest = std::move(clone);
  }
  CHECK((bytes_of(dir(0) + "/ram") == ram));  // not to be printed
}

TEST_CASE("disks that the machine writes are part of the snapshot, and a clone writes to copies") {
  const TemporaryFolder folder;
  const std::string dir = folder.path() + "/snapshot";
  const std::string image = folder.write("image", std::string(1 << 20, 'r'));
  const std::string disk = folder.write("disk", std::string(1 << 20, 'w'));
  Machine machine = saved_machine();
  machine.disks = {{image, "image", true}, {disk, "disk", false}};
  Helper helper;
  const json created = create(helper, machine);
  vmette::wire::Setup setup;
  setup.disks = {{"disk", ""}};
  Guest guest = boot(helper, setup);
  guest.run("printf one | dd of=/dev/vmette/disk0 conv=fsync 2>&1");
  save(helper, dir);
  CHECK(names_in(dir) == std::vector<std::string>{"devices", "disk1", "ram"});
  CHECK(stored_bytes(dir + "/disk1") <= stored_bytes(disk));
  guest.run("printf two | dd of=/dev/vmette/disk0 conv=fsync 2>&1");

  Machine clone = restored_machine(machine, dir, created);
  clone.disks[1].path = dir + "/disk1";
  clone.disks[1].copy_in = folder.path();
  for (int i = 0; i < 2; ++i) {
    Helper other;
    create(other, clone);
    Guest second(other.take_fd(), guest);
    start(other);
    CHECK(second.run("echo 3 >/proc/sys/vm/drop_caches; head -c 3 /dev/vmette/disk0") == "one");
    second.run("printf six | dd of=/dev/vmette/disk0 conv=fsync 2>&1");
  }
  CHECK(bytes_of(dir + "/disk1").substr(0, 4) == "onew");
  CHECK(bytes_of(disk).substr(0, 4) == "twow");
  // Nothing but what has names that the test gave.
  CHECK(names_in(folder.path()) == std::vector<std::string>{"disk", "image", "snapshot"});
}
