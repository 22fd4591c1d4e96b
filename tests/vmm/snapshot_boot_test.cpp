// Saving and restoring with a real QEMU and a guest that answers.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
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
  Guest guest(helper.take_fd());
  start(helper);
  guest.await_hello();
  guest.set_up();
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
