// Saving and restoring with a real QEMU and a guest that answers.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "support/catch.h"
#include "support/mounted.h"
#include "vmm/guest.h"
#include "vmm/helper.h"

using namespace vmette_test;
using nlohmann::json;
using vmette::vmm::Machine;
using vmette::vmm::to_json;

namespace {

Machine saved_machine() {
  Machine machine = bare_machine();
  machine.initramfs = guest_initramfs();
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

TEST_CASE("a reserved share is empty until a clone has another directory there") {
  const TemporaryFolder folder;
  const TemporaryFolder shared;
  shared.write("file", "of the clone");
  const std::string dir = folder.path() + "/snapshot";
  const std::string mount =
      "modprobe 9pnet_virtio 2>/dev/null; modprobe 9p 2>/dev/null; mkdir -p /m && mount -t 9p -o "
      "trans=virtio,version=9p2000.L share1 /m 2>&1";
  Machine machine = saved_machine();
  machine.shares = {{"share0", shared.path()}, {"share1", ""}};
  Helper helper;
  const json created = create(helper, machine);
  for (const json& share : created["ok"]["shares"]) {
    CHECK(share["transport"] == "9p");
    CHECK(share["reason"] == "a machine with virtio-fs cannot be saved");
  }
  // Mounts the first, so that the agent has loaded what it takes.
  vmette::wire::Setup setup;
  setup.shares = {{"share0", false, "/s", false}};
  Guest guest = boot(helper, setup);
  guest.run(mount + "; ls -A /m; touch /m/x 2>/dev/null && exit 1; umount /m");

  // QEMU refuses in its own words, and the machine goes on.
  const json refused = helper.call("save", {{"dir", dir}, {"resume", false}});
  CHECK(refused["error"]["code"] == "save_failed");
  CHECK(refused["error"]["stage"] == "save");
  const std::string message = refused["error"]["message"];
  INFO(message);
  CHECK(message.find("save: QEMU does not save the machine: Migration is disabled when VirtFS") ==
        0);
  CHECK(access(dir.c_str(), F_OK) != 0);
  CHECK(helper.wait_for("continued").is_object());

  guest.run("umount /s");
  save(helper, dir);
  Machine clone = restored_machine(machine, dir, created);
  clone.shares[1].path = shared.path();
  Helper other;
  create(other, clone);
  Guest second(other.take_fd(), guest);
  start(other);
  CHECK(second.run(mount + " && cat /m/file && echo written >/m/out") == "of the clone");
  CHECK(bytes_of(shared.path() + "/out") == "written\n");
}

TEST_CASE("a machine saved while it is paused stays so, or goes on when that is asked for") {
  const TemporaryFolder folder;
  Helper helper;
  create(helper, saved_machine());
  Guest guest = boot(helper);
  REQUIRE(helper.call("pause").contains("ok"));
  save(helper, folder.path() + "/1", false);
  REQUIRE(helper.call("resume").contains("ok"));
  CHECK(guest.run("echo on") == "on\n");
  REQUIRE(helper.call("pause").contains("ok"));
  save(helper, folder.path() + "/2");
  CHECK(helper.wait_for("continued").is_object());
  CHECK(helper.call("resume")["error"]["code"] == "bad_request");
  CHECK(guest.run("echo on") == "on\n");
  save(helper, folder.path() + "/3", false);
  CHECK(helper.call("pause")["error"]["code"] == "bad_request");
  REQUIRE(helper.call("resume").contains("ok"));
  CHECK(guest.run("echo on") == "on\n");
}

TEST_CASE("a full disk fails the save of any machine, which goes on, and can be tried again") {
  const TemporaryFolder folder;
  const std::string dir = folder.path() + "/snapshot";
  const rlimit small{8 << 20, RLIM_INFINITY};
  const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  const auto fails = [&](Helper& helper, const char* file) {
    REQUIRE(prlimit(helper.pid(), RLIMIT_FSIZE, &small, nullptr) == 0);
    const json answer = helper.call("save", {{"dir", dir}, {"resume", false}});
    CHECK(answer["error"]["code"] == "save_failed");
    CHECK(answer["error"]["message"] ==
          "save: '" + dir + "/" + file +
              "' cannot be written: File too large; make room there or choose another place");
    CHECK(access(dir.c_str(), F_OK) != 0);
    CHECK(helper.wait_for("continued").is_object());
    REQUIRE(prlimit(helper.pid(), RLIMIT_FSIZE, &none, nullptr) == 0);
  };
  Helper helper;
  const Machine machine = saved_machine();
  const json created = create(helper, machine);
  Guest guest = boot(helper);
  fails(helper, "ram");
  CHECK(guest.run("echo on") == "on\n");
  save(helper, dir);
  const std::string first = folder.path() + "/first";
  std::filesystem::rename(dir, first);

  Helper other;
  create(other, restored_machine(machine, first, created));
  Guest clone(other.take_fd(), guest);
  start(other);
  fails(other, "stream");
  CHECK(clone.run("echo on") == "on\n");
  save(other, dir);
  CHECK(clone.run("echo on") == "on\n");
}

TEST_CASE("a file system that fills up fails the save wherever it is") {
  if (geteuid() != 0) return;
  const TemporaryFolder folder;
  const Machine machine = saved_machine();
  json created;
  std::optional<Guest> guest;
  const std::string first = folder.path() + "/first";
  {
    Helper helper;
    created = create(helper, machine);
    guest.emplace(boot(helper));
    save(helper, folder.path() + "/saved", false);
    std::filesystem::rename(folder.path() + "/saved", first);
  }
  const uint64_t used = stored_bytes(first + "/ram");
  Helper helper;
  create(helper, restored_machine(machine, first, created));
  Guest clone(helper.take_fd(), *guest);
  start(helper);
  const std::string place = folder.path() + "/place";
  // Of the memory in the stream; of the stream and half of the memory.
  for (const uint64_t room : {used / 2, used * 2}) {
    const Mounted mounted(place, ("size=" + std::to_string(room)).c_str());
    const json answer = helper.call("save", {{"dir", place + "/snapshot"}});
    CHECK(answer["error"]["code"] == "save_failed");
    const std::string message = answer["error"]["message"];
    INFO(message);
    CHECK(message.find("; make room there or choose another place") != std::string::npos);
    CHECK(names_in(place).empty());
    CHECK(clone.run("echo on") == "on\n");
  }
  // With room enough, zeros take none in the end.
  const Mounted mounted(place, "size=1g");
  save(helper, place + "/snapshot");
  CHECK(stored_bytes(place + "/snapshot/ram") < used * 2);
  CHECK(clone.run("echo on") == "on\n");
}

TEST_CASE("a snapshot that is damaged or not the machine's is refused with its file") {
  const TemporaryFolder folder;
  const std::string dir = folder.path() + "/snapshot";
  Machine machine = saved_machine();
  machine.shares = {{"tag", ""}};
  json created;
  {
    Helper helper;
    created = create(helper, machine);
    boot(helper);
    save(helper, folder.path() + "/saved", false);
    std::filesystem::rename(folder.path() + "/saved", dir);
  }
  const auto refusal = [&](const Machine& wanted) {
    Helper helper;
    json answer = helper.call("create", to_json(wanted));
    if (answer.contains("ok")) answer = helper.call("start");
    if (!answer.contains("error")) return std::string("none");
    if (answer["error"]["code"] == "restore_failed") CHECK(helper.wait_for("stopped").is_object());
    return answer["error"]["code"].get<std::string>() + ": " +
           answer["error"]["message"].get<std::string>();
  };
  const Machine clone = restored_machine(machine, dir, created);
  Machine wrong = clone;
  wrong.memory_mib = 128;
  CHECK(refusal(wrong) == "bad_snapshot: restore: '" + dir +
                              "/ram' has 268435456 bytes and the machine 134217728 of memory; give "
                              "it the memory_mib that it was saved with");
  wrong = clone;
  wrong.shares.clear();
  CHECK(refusal(wrong).find("restore_failed: restore: QEMU does not load '" + dir +
                            "/devices': ") == 0);

  const std::string devices = bytes_of(dir + "/devices");
  std::filesystem::resize_file(dir + "/devices", devices.size() / 2);
  const std::string cut = refusal(clone);
  INFO(cut);
  CHECK(cut.find("restore_failed: restore: QEMU does not load '" + dir + "/devices': ") == 0);
  std::ofstream(dir + "/devices", std::ios::binary) << "garbage";
  CHECK(refusal(clone).find("restore_failed: ") == 0);
  std::ofstream(dir + "/devices", std::ios::trunc).close();
  CHECK(refusal(clone) == "bad_snapshot: restore: '" + dir + "/devices' is empty");
  std::filesystem::remove(dir + "/devices");
  CHECK(refusal(clone) ==
        "bad_snapshot: restore: '" + dir + "/devices' cannot be read: No such file or directory");
}
