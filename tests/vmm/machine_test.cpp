#include "vmm/machine.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "support/catch.h"

using namespace vmette::vmm;
using nlohmann::json;

namespace {

Machine full_machine() {
  Machine machine;
  machine.version = "0.1.0";
  machine.parent_pid = 4711;
  machine.arch = Arch::kAarch64;
  machine.kernel = "/boot/Image";
  machine.initramfs = "/boot/initramfs,é.cpio";
  machine.cmdline = "quiet x=\"a b\"";
  machine.vcpus = 3;
  machine.memory_mib = 777;
  machine.accel = Accel::kTcg;
  machine.qemu = "/opt/qemu";
  machine.disks = {{"/dev/sda", "root", true}, {"/tmp/b c", "scratch", false, "/var/tmp"}};
  machine.scratch = Scratch{"/var/tmp", "vmette-scratch", 8192, "/snap/scratch"};
  machine.shares = {{"src", "/home/a,b", true, ShareTransport::kVirtiofs, true},
                    {"out", "/", false, ShareTransport::k9p, false}};
  machine.snapshottable = true;
  machine.restore = "/snap";
  return machine;
}

std::string problem_with(const std::function<void(json&)>& change) {
  json fields = to_json(full_machine());
  change(fields);
  Machine machine;
  return from_json(fields, machine).value_or("");
}

}  // namespace

TEST_CASE("a machine survives the way through JSON text unchanged") {
  const json fields = json::parse(to_json(full_machine()).dump());
  Machine machine;
  CHECK_FALSE(from_json(fields, machine).has_value());
  CHECK(machine == full_machine());
}

TEST_CASE("a create message may leave out what has a default") {
  Machine machine;
  const json fields = {
      {"id", 1}, {"op", "create"}, {"version", "1"}, {"parent_pid", 1}, {"kernel", "/k"}};
  CHECK_FALSE(from_json(fields, machine).has_value());
  CHECK(machine.arch == host_arch());
  CHECK(machine.accel == Accel::kAuto);
  CHECK(machine.vcpus == 1);
  CHECK(machine.memory_mib == 512);
  CHECK(machine.initramfs.empty());
}

TEST_CASE("a field of the wrong type or kind is named") {
  struct Case {
    const char* pointer;
    json value;
    const char* problem;
  };
  const auto [pointer, value, problem] = GENERATE(values<Case>({
      {"/kernel", 7, "kernel: must be a string"},
      {"/vcpus", "2", "vcpus: must be a whole number from 0 to 4294967295"},
      {"/vcpus", -1, "vcpus: must be a whole number from 0 to 4294967295"},
      {"/vcpus", 1.5, "vcpus: must be a whole number from 0 to 4294967295"},
      {"/memory_mib", 1ULL << 32U, "memory_mib: must be a whole number from 0 to 4294967295"},
      {"/parent_pid", 1ULL << 31U, "parent_pid: must be a whole number from 0 to 2147483647"},
      {"/arch", "riscv64", "arch: \"riscv64\" is none of x86_64, aarch64"},
      {"/accel", "hvf", "accel: \"hvf\" is none of auto, kvm, tcg"},
      {"/scratch", 1, "scratch: must be an object"},
      {"/scratch/mib", "8", "scratch.mib: must be a whole number from 0 to 18446744073709551615"},
      {"/scratch/size", 8, "scratch.size: unknown field"},
      {"/disks", json::object(), "disks: must be a list"},
      {"/disks/1", 3, "disks[1]: must be an object"},
      {"/disks/1/read_only", 1, "disks[1].read_only: must be true or false"},
      {"/disks/0/readonly", true, "disks[0].readonly: unknown field"},
      {"/shares/1/path", nullptr, "shares[1].path: must be a string"},
      {"/shares/0/transport", "nfs", "shares[0].transport: \"nfs\" is none of auto, virtiofs, 9p"},
      {"/snapshottable", 1, "snapshottable: must be true or false"},
      {"/restore", true, "restore: must be a string"},
      {"/disks/0/copy_in", 1, "disks[0].copy_in: must be a string"},
      {"/scratch/image", 1, "scratch.image: must be a string"},
      {"/net", true, "net: unknown field"},
  }));
  CHECK(problem_with([&](json& fields) { fields[json::json_pointer(pointer)] = value; }) ==
        problem);
}

TEST_CASE("a value that no machine can have is named with what would be right") {
  struct Case {
    const char* pointer;
    json value;
    const char* problem;
  };
  const std::string nul("/a\0b", 4);
  const auto [pointer, value, problem] = GENERATE_COPY(values<Case>({
      {"/version", "", "version: is missing; give the version of the library"},
      {"/parent_pid", 0, "parent_pid: 0 is no process; give the caller's pid"},
      {"/kernel", "", "kernel: is missing; give an absolute path"},
      {"/kernel", "k", "kernel: \"k\" is relative; give an absolute path"},
      {"/kernel", nul, "kernel: contains a NUL byte; remove it"},
      {"/initramfs", "i", "initramfs: \"i\" is relative; give an absolute path"},
      {"/initramfs", "/" + std::string(4096, 'a'), "initramfs: is longer than a path can be"},
      {"/cmdline", "a\nb",
       "cmdline: contains a control character; write one line separated by spaces"},
      {"/cmdline", std::string(2048, 'a'), "cmdline: 2048 bytes are too long; a kernel keeps 2047"},
      {"/vcpus", 0, "vcpus: 0 is out of range; use 1 to 255"},
      {"/vcpus", 256, "vcpus: 256 is out of range; use 1 to 255"},
      {"/memory_mib", 31, "memory_mib: 31 is out of range; use 32 to 16777216"},
      {"/disks/0/path", "d", "disks[0].path: \"d\" is relative; give an absolute path"},
      {"/disks/0/serial", "",
       "disks[0].serial: \"\" must be 1 to 20 printable ASCII characters without a slash"},
      {"/disks/0/serial", "123456789012345678901",
       "disks[0].serial: \"123456789012345678901\" must be 1 to 20 printable ASCII characters "
       "without a slash"},
      {"/disks/1/serial", "root", "disks[1].serial: \"root\" is used twice; choose another"},
      {"/scratch/mib", 15, "scratch.mib: 15 is out of range; use 16 to 16777216"},
      {"/scratch/directory", "tmp",
       "scratch.directory: \"tmp\" is relative; give an absolute path"},
      {"/scratch/serial", "root", "scratch.serial: \"root\" is used twice; choose another"},
      {"/shares/0/tag", "a/b",
       "shares[0].tag: \"a/b\" must be 1 to 31 printable ASCII characters without a slash"},
      {"/shares/1/tag", "src", "shares[1].tag: \"src\" is used twice; choose another"},
      {"/shares/1/path", "s", "shares[1].path: \"s\" is relative; give an absolute path"},
      {"/restore", "snap", "restore: \"snap\" is relative; give an absolute path"},
      {"/disks/1/copy_in", "tmp", "disks[1].copy_in: \"tmp\" is relative; give an absolute path"},
      {"/disks/0/copy_in", "/tmp",
       "disks[0].copy_in: a read-only disk needs no copy; leave one of the two out"},
      {"/scratch/image", "i", "scratch.image: \"i\" is relative; give an absolute path"},
      {"/scratch/image", "",
       "scratch.image: is missing; a machine that is restored goes on with its own disk"},
  }));
  CHECK(problem_with([&](json& fields) { fields[json::json_pointer(pointer)] = value; }) ==
        problem);
}

TEST_CASE("a path that is not UTF-8 is refused before it becomes JSON") {
  Machine machine = full_machine();
  machine.shares[0].path = "/caf\xe9";
  CHECK(validate(machine) == "shares[0].path: is not UTF-8; rename the file");
}

TEST_CASE("22 disks and shares fit beside the control stream and 23 do not") {
  Machine machine = full_machine();
  machine.disks.clear();
  machine.scratch.reset();
  machine.shares.clear();
  for (int i = 0; i < 11; ++i) {
    machine.disks.push_back({"/d", "d" + std::to_string(i), false});
    machine.shares.push_back({"s" + std::to_string(i), "/s", false});
  }
  CHECK_FALSE(validate(machine).has_value());
  machine.scratch = Scratch{"/tmp", "scratch", 16, "/image"};
  CHECK(validate(machine) == "disks, shares: 23 devices are too many; at most 22 fit");
  machine.scratch.reset();
  machine.shares.push_back({"one more", "/s", false});
  CHECK(validate(machine) == "disks, shares: 23 devices are too many; at most 22 fit");
}

TEST_CASE("a share without a directory is reserved in a machine that can be saved") {
  Machine machine = full_machine();
  machine.shares[1].path.clear();
  CHECK_FALSE(validate(machine).has_value());
  machine.restore.clear();
  CHECK_FALSE(validate(machine).has_value());
  machine.snapshottable = false;
  CHECK(validate(machine) == "shares[1].path: is missing; give an absolute path");
}

TEST_CASE("a machine that cannot be saved is told by its device") {
  Machine machine = full_machine();
  machine.disks.clear();
  CHECK(why_not_snapshottable(machine) ==
        "share '/home/a,b': a machine with virtio-fs cannot be saved; let its transport be auto or "
        "9p");
  machine.shares[0].transport = ShareTransport::kAuto;
  CHECK_FALSE(why_not_snapshottable(machine).has_value());
  machine.disks = {{"/none", "a", false}, {"/dev/null", "b", false}};
  CHECK_FALSE(why_not_snapshottable(machine).has_value());
}

TEST_CASE("what is no object is no machine") {
  Machine machine;
  CHECK(from_json(json::array(), machine).has_value());
  CHECK(from_json(json(), machine).has_value());
}
