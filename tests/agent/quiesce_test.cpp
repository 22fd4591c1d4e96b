// QUIESCE and WAKE on a live machine: the agent cannot tell it from one that was saved and restored
// meanwhile.
#include <cerrno>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

#include "guest.h"
#include "support/catch.h"
#include "support/images.h"
#include "support/text.h"
#include "wire/calls.h"

using namespace vmette_test;
namespace wire = vmette::wire;
using vmette::vmm::Machine;
using wire::Type;

namespace {

constexpr const char* kMachineId = "0123456789abcdef0123456789abcdef";

wire::Wake restored() {
  wire::Wake wake;
  wake.restored = true;
  wake.hostname = "clone";
  wake.machine_id = kMachineId;
  wake.env = {{"CLONE", "yes"}};
  return wake;
}

wire::Wake holding(wire::Wake wake = {}) {
  wake.hold = true;
  return wake;
}

// A line that counts in a file for ever; each count is there as a whole or not yet.
std::string counting(const std::string& file) {
  return "i=0; while :; do i=$((i+1)); echo $i >" + file + ".new; mv " + file + ".new " + file +
         "; done";
}

// What is in a file that is written over and over, and empty for a moment each time.
std::string word(Guest& guest, const std::string& file) {
  return guest.run("word=; until [ \"$word\" ]; do word=$(cat " + file + "); done; echo $word");
}

long count(Guest& guest, const std::string& file) {
  return std::stol(word(guest, file));
}

// What is frozen makes no step while another command takes its time.
void check_still(Guest& guest, const std::string& file) {
  const long before = count(guest, file);
  guest.run("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done");
  CHECK(count(guest, file) == before);
}

void check_counts(Guest& guest, const std::string& file) {
  const long before = count(guest, file);
  guest.until_true("[ $(cat " + file + ") -gt " + std::to_string(before) + " ]");
}

// The failure of a QUIESCE that a busy share refuses, which names the process.
void check_busy(Guest& guest, const std::string& point, const std::string& why) {
  REQUIRE_FALSE(guest.quiesce());
  const wire::Failure& failure = guest.stream(0).failure;
  INFO(failure.message);
  CHECK(failure.stage == "quiesce");
  CHECK(failure.error == EBUSY);
  CHECK(failure.path == point);
  CHECK(contains(failure.message, why));
}

}  // namespace

TEST_CASE("a guest that goes on goes on with every process and every stream") {
  Guest guest;
  const uint64_t printer = guest.begin("i=0; while :; do i=$((i+1)); echo $i; done");
  const uint64_t reader = guest.begin("read word; echo got $word");
  guest.until([&] { return guest.stream(printer).out.size() > 1000; });
  guest.until([&] { return guest.stream(reader).started; });
  REQUIRE(guest.quiesce());
  CHECK(guest.quiesced().frozen == 2);
  wire::Wake wake;
  wake.realtime_ns = 2'000'000'000'000'000'000;
  const size_t printed = guest.stream(printer).out.size();
  REQUIRE(guest.wake(wake));
  guest.until([&] { return guest.stream(printer).out.size() > printed + 1000; });
  guest.send(Type::kData, "word\n", reader, wire::channel_flags(wire::Channel::kStdin));
  guest.until([&] { return guest.stream(reader).out_over; });
  CHECK(guest.stream(reader).out == "got word\n");
  // Not a number is missing, nor comes twice.
  std::istringstream numbers(guest.stream(printer).out);
  long expected = 0;
  for (std::string line; std::getline(numbers, line) && !numbers.eof();)
    if (std::stol(line) != ++expected) FAIL("after " << expected - 1 << " came " << line);
  CHECK(std::stol(guest.run("date +%s")) >= 2'000'000'000);
  CHECK(guest.run("echo $ORIGIN; hostname") == "yes\norigin");
  // Once more.
  REQUIRE(guest.quiesce());
  REQUIRE(guest.wake());
  CHECK(guest.run("echo again") == "again");
}

TEST_CASE("what is frozen makes no progress until it is thawed, and new commands run meanwhile") {
  Guest guest;
  guest.begin(counting("/tmp/group"));
  // Its command has ended.
  guest.run("(" + counting("/tmp/left") + ") >/dev/null 2>&1 </dev/null &");
  // Processes that have left their group: for the outermost, for one of the guest's, one below
  // that.
  guest.begin("echo $$ >/sys/fs/cgroup/cgroup.procs; echo $$ >/tmp/pid; " + counting("/tmp/root"));
  guest.begin("mkdir -p /sys/fs/cgroup/own/deep; echo $$ >/sys/fs/cgroup/own/cgroup.procs; " +
              counting("/tmp/own"));
  guest.begin("until echo $$ >/sys/fs/cgroup/own/deep/cgroup.procs; do :; done; " +
              counting("/tmp/deep"));
  // One that the guest has frozen, and one that it has stopped.
  const std::string sleeper =
      "sleep 1000 >/dev/null 2>&1 </dev/null & until [ $(cat /proc/$!/comm) = sleep ]; do :; "
      "done; ";
  guest.run(sleeper +
            "mkdir /sys/fs/cgroup/ice; echo $! >/sys/fs/cgroup/ice/cgroup.procs; "
            "echo 1 >/sys/fs/cgroup/ice/cgroup.freeze");
  guest.run(sleeper + "echo $! >/tmp/stopped; kill -STOP $!");
  // And some in the groups that wait for the next commands, moved there right before.
  const uint64_t mover = guest.begin(
      "read go; for group in /sys/fs/cgroup/vmette/*/; do grep -q 'populated 0' "
      "$group/cgroup.events || continue; sleep 1000 & echo $! >$group/cgroup.procs; done; "
      "echo moved; wait");
  const char* files[] = {"/tmp/group", "/tmp/left", "/tmp/root", "/tmp/own", "/tmp/deep"};
  for (const char* file : files) guest.until_true("[ -s " + std::string(file) + " ]");
  guest.run("true");  // its group waits for the next one
  guest.send(Type::kData, "go\n", mover, wire::channel_flags(wire::Channel::kStdin));
  guest.until([&] { return contains(guest.stream(mover).out, "moved"); });
  for (const bool again : {false, true}) {
    INFO("again: " << again);
    REQUIRE(guest.quiesce());
    CHECK(guest.quiesced().frozen >= 8);
    REQUIRE(guest.wake(holding()));
    for (const char* file : files) check_still(guest, file);
    guest.send(Type::kThaw);
    for (const char* file : files) check_counts(guest, file);
    CHECK(guest.run("cat /sys/fs/cgroup/ice/cgroup.freeze") == "1");
    CHECK(contains(guest.run("grep State /proc/$(cat /tmp/stopped)/status"), "T (stopped)"));
    CHECK(guest.run("cat /proc/$(cat /tmp/pid)/cgroup") == "0::/");
    CHECK(guest.run("ls /sys/fs/cgroup/vmette | grep -v '[0-9.]' || true").empty());
  }
}

TEST_CASE("a restored guest lives on without its old streams") {
  Guest guest;
  guest.run(
      "echo old >/etc/machine-id; mkdir -p /var/lib/dbus; echo old >/var/lib/dbus/machine-id");
  guest.run("echo '10.0.0.1 friend' >>/etc/hosts; echo before >/tmp/atomic");
  // More than the host has granted, into a pipe that nobody reads any more.
  const std::string line(1000, 'x');
  guest.begin("i=0; while :; do i=$((i+1)); echo " + line + "; echo $i >/tmp/n; done");
  const uint64_t input = guest.begin("cat >/tmp/in; echo end >>/tmp/in");
  guest.send(Type::kData, "sent", input, wire::channel_flags(wire::Channel::kStdin));
  wire::Exec terminal;
  terminal.argv = {"cat /dev/zero | od -v >/dev/tty & while :; do date +%s >/tmp/tty; done"};
  terminal.shell = true;
  terminal.tty.emplace();
  guest.begin(terminal);
  const uint64_t ending = guest.begin("until [ -e /tmp/go ]; do usleep 1000; done; exit 3");
  wire::Call write;
  write.op = wire::op::kWrite;
  write.path = "/tmp/atomic";
  write.flags = wire::kCallAtomic;
  guest.send(Type::kData, "after", guest.call(write), wire::channel_flags(wire::Channel::kStdin));
  guest.until([&] { return guest.stream(ending).started; });
  REQUIRE(guest.quiesce());
  wire::Wake wake = restored();
  wake.realtime_ns = 2'000'000'000'000'000'000;
  REQUIRE(guest.wake(wake));
  CHECK(guest.run("hostname; cat /etc/hostname") == "clone\nclone");
  CHECK(guest.run("cat /etc/machine-id") == kMachineId);
  CHECK(guest.run("cat /var/lib/dbus/machine-id") == kMachineId);
  CHECK(guest.run("grep -c friend /etc/hosts; grep -c clone /etc/hosts") == "1\n1");
  CHECK(guest.run("grep -c origin /etc/hosts || true") == "0");
  CHECK(guest.run("echo $ORIGIN$CLONE") == "yes");
  CHECK(std::stol(guest.run("date +%s")) >= 2'000'000'000);
  CHECK(guest.run("cat /tmp/atomic; ls -A /tmp | grep -c atomic") == "before\n1");
  guest.until_true("grep -q end /tmp/in");
  CHECK(guest.run("cat /tmp/in") == "sentend");
  // Both get on, far beyond what a pipe or terminal and a window of credit hold.
  const long before = count(guest, "/tmp/n");
  guest.until_true("[ $(cat /tmp/n) -gt " + std::to_string(before + 3000) + " ]");
  const std::string tick = word(guest, "/tmp/tty");
  guest.until_true("[ $(cat /tmp/tty) != " + tick + " ]");
  // A command that ends is reaped, and nothing is said about it.
  guest.run("touch /tmp/go");
  guest.until_true("! ps | grep -q '[Z]  *sh'");
  // A copy of the copy.
  REQUIRE(guest.quiesce());
  wake.hostname = "second";
  REQUIRE(guest.wake(wake));
  CHECK(guest.run("hostname; grep -c clone /etc/hosts || true") == "second\n0");
}

TEST_CASE("a file call that is open when the guest goes on goes on too") {
  Guest guest;
  wire::Call write;
  write.op = wire::op::kWrite;
  write.path = "/tmp/file";
  write.flags = wire::kCallAtomic;
  const uint64_t stream = guest.call(write);
  guest.send(Type::kData, "one ", stream, wire::channel_flags(wire::Channel::kStdin));
  REQUIRE(guest.quiesce());
  REQUIRE(guest.wake());
  guest.send(Type::kData, "two", stream, wire::channel_flags(wire::Channel::kStdin, true));
  guest.until([&] { return !guest.stream(stream).result.empty(); });
  CHECK(guest.run("cat /tmp/file") == "one two");
}

TEST_CASE("shares are away while the guest stands still and back when it goes on") {
  const TemporaryFolder one;
  const TemporaryFolder two;
  one.write("name", "one");
  two.write("name", "two");
  Guest guest([&](Machine& machine, wire::Setup& setup) {
    Guest::add_share(machine, setup, "one", one.path(), "/mnt/one");
    Guest::add_share(machine, setup, "two", two.path(), "/srv/with blank");
  });
  wire::Wake wake;
  wake.shares = {{"one", false, "/mnt/one", false}, {"two", false, "/srv/with blank", false}};
  REQUIRE(guest.quiesce());
  REQUIRE(guest.wake(wake));
  CHECK(guest.run("cat /mnt/one/name '/srv/with blank/name'") == "onetwo");

  // A copy of the machine may have others, elsewhere.
  wire::Wake other = restored();
  other.shares = {{"two", false, "/mnt/other", true}};
  REQUIRE(guest.quiesce());
  REQUIRE(guest.wake(holding(other)));
  CHECK(guest.run("cat /mnt/other/name; ls /mnt/one '/srv/with blank' | grep -c name || true") ==
        "two0");
  CHECK(guest.run("touch /mnt/other/x 2>/dev/null || echo read-only") == "read-only");
  guest.send(Type::kThaw);
  CHECK(guest.run("grep -c 9p /proc/mounts") == "1");

  // What the host does not have cannot be mounted, and then there is nothing but SHUTDOWN.
  other.shares = {{"none", false, "/mnt/none", false}};
  REQUIRE(guest.quiesce());
  REQUIRE_FALSE(guest.wake(other));
  const wire::Failure& failure = guest.stream(0).failure;
  INFO(failure.message);
  CHECK(failure.stage == "wake");
  CHECK(contains(failure.message, "\"none\""));
  guest.send(Type::kShutdown, encode(wire::Shutdown{0}));
  CHECK(guest.stopped() == "poweroff");
}

TEST_CASE("a share in use refuses a save and names who uses it") {
  const TemporaryFolder one;
  const TemporaryFolder two;
  two.write("name", "two");
  Guest guest([&](Machine& machine, wire::Setup& setup) {
    Guest::add_share(machine, setup, "one", one.path(), "/mnt/one");
    Guest::add_share(machine, setup, "two", two.path(), "/mnt/two");
  });
  wire::Wake wake;
  wake.shares = {{"one", false, "/mnt/one", false}, {"two", false, "/mnt/two", false}};
  guest.run("cp /bin/busybox /mnt/one/sleep; mkdir /mnt/one/sub /tmp/bind");
  struct Use {
    const char* begin;
    const char* end;
    const char* point;
    const char* why;
  };
  const Use uses[] = {
      {"cd /mnt/one; sleep 1000 & echo $! >/tmp/pid", "kill $(cat /tmp/pid)", "/mnt/one",
       "(sleep) has its working directory in it"},
      {"sleep 1000 7>/mnt/one/open & echo $! >/tmp/pid", "kill $(cat /tmp/pid)", "/mnt/one",
       "(sleep) has a file of it open as descriptor 7"},
      {"/mnt/one/sleep 1000 & echo $! >/tmp/pid", "kill $(cat /tmp/pid)", "/mnt/one",
       "(sleep) runs a program from it"},
      {"unshare -m sleep 1000 & echo $! >/tmp/pid", "kill $(cat /tmp/pid)", "/mnt/one",
       "(sleep) has it in a mount namespace of its own"},
      {"mount -t tmpfs none /mnt/one/sub", "umount /mnt/one/sub", "/mnt/one",
       "mounted tmpfs at /mnt/one/sub"},
      {"mount --bind /mnt/one /tmp/bind", "umount /tmp/bind", "/tmp/bind",
       "mounted \"one\" there itself"},
      {"insmod /lib/modules/vmette/loop.ko; dd if=/dev/zero of=/mnt/one/image bs=1k count=64; "
       "losetup /dev/loop0 /mnt/one/image",
       "losetup -d /dev/loop0", "/mnt/one", "the kernel needs it"},
      {"mount -t tmpfs none /mnt/two", "umount /mnt/two", "/mnt/two", "mounted tmpfs at /mnt/two"},
  };
  for (const Use& use : uses) {
    INFO(use.begin);
    guest.run(std::string("(") + use.begin + ") >/dev/null 2>&1 </dev/null");
    // It is the program, not the shell on its way to it.
    if (contains(use.end, "/tmp/pid"))
      guest.until_true("[ \"$(cat /proc/$(cat /tmp/pid)/comm)\" = sleep ]");
    check_busy(guest, use.point, use.why);
    if (contains(use.end, "/tmp/pid"))
      CHECK(
          contains(guest.stream(0).failure.message, "process " + guest.run("cat /tmp/pid") + " "));
    // Everything is as before.
    CHECK(guest.run("ls /mnt/one | grep -c sleep; grep -c '^two /mnt/two 9p' /proc/mounts") ==
          "1\n1");
    guest.run(use.end);
    if (contains(use.end, "/tmp/pid")) guest.until_true("! [ -e /proc/$(cat /tmp/pid) ]");
    REQUIRE(guest.quiesce());
    REQUIRE(guest.wake(wake));
  }
  // A file operation of the host is one too.
  wire::Call write;
  write.op = wire::op::kWrite;
  write.path = "/mnt/one/written";
  const uint64_t stream = guest.call(write);
  check_busy(guest, "/mnt/one", "a file operation of the host");
  guest.send(Type::kClose, {}, stream);
  guest.until([&] { return guest.stream(stream).failed; });
  // A share that the guest has put elsewhere is away all the same, and comes back to its place.
  guest.run("mount --move /mnt/two /tmp/bind");
  REQUIRE(guest.quiesce());
  REQUIRE(guest.wake(wake));
  CHECK(guest.run("cat /mnt/two/name; grep -c 9p /proc/mounts") == "two2");
}

TEST_CASE("a process that does not freeze in time is named and everything goes on") {
  const TemporaryFolder folder;
  const std::string image = folder.path() + "/disk";
  tool({"/usr/sbin/mke2fs", "-q", "-t", "ext4", image, "16M"});
  Guest guest([&](Machine& machine, wire::Setup& setup) {
    machine.disks.push_back({image, "data", false});
    setup.disks.push_back({"data", "ext4"});
  });
  guest.begin(counting("/tmp/n"));
  guest.run("mkdir /tmp/d; mount /dev/vmette/disk0 /tmp/d; fsfreeze --freeze /tmp/d");
  const uint64_t stuck = guest.begin("echo $$ >/tmp/pid; exec dd if=/dev/zero of=/tmp/d/f count=1");
  guest.until_true("grep -q '^State:.D' /proc/$(cat /tmp/pid)/status");
  REQUIRE_FALSE(guest.quiesce(300));
  const wire::Failure failure = guest.stream(0).failure;
  INFO(failure.message);
  CHECK(failure.stage == "quiesce");
  CHECK(failure.error == ETIMEDOUT);
  CHECK(contains(failure.message, "process " + guest.run("cat /tmp/pid") + " (dd)"));
  check_counts(guest, "/tmp/n");
  guest.run("fsfreeze --unfreeze /tmp/d");
  guest.until([&] { return guest.stream(stuck).exited; });
  CHECK(guest.stream(stuck).exit.status == 0);
  REQUIRE(guest.quiesce());
  REQUIRE(guest.wake());
  check_counts(guest, "/tmp/n");
}

TEST_CASE("a root that is an image has its own names and machine ID after a restore") {
  const TemporaryFolder folder;
  const TemporaryFolder shared;
  shared.write("name", "shared");
  const std::string tree = folder.path() + "/tree";
  tool({"mkdir", "-p", tree + "/bin", tree + "/etc", tree + "/proc", tree + "/sys", tree + "/dev",
        tree + "/tmp", tree + "/mnt/s", tree + "/run"});
  tool({"cp", "/bin/busybox", tree + "/bin/busybox"});
  for (const char* name : {"sh", "cat", "hostname", "touch"})
    tool({"ln", "-s", "busybox", tree + "/bin/" + name});
  std::ofstream(tree + "/etc/machine-id") << "old\n";
  std::ofstream(tree + "/etc/hosts") << "127.0.0.1 localhost\n";
  std::ofstream(tree + "/etc/hostname") << "image\n";
  const std::string image = folder.path() + "/image";
  make_image("squashfs", tree, image);
  const bool read_only = GENERATE(true, false);
  const bool switch_root = GENERATE(true, false);
  INFO("read-only: " << read_only << ", switch_root: " << switch_root);
  Guest guest([&](Machine& machine, wire::Setup& setup) {
    machine.disks.push_back({image, "root", true});
    setup.root = {wire::RootKind::kBlock, "root", "squashfs",
                  read_only ? wire::UpperKind::kNone : wire::UpperKind::kTmpfs, ""};
    setup.switch_root = switch_root;
    Guest::add_share(machine, setup, "s", shared.path(), "/mnt/s");
  });
  CHECK(guest.run("cat /etc/hostname /etc/machine-id") == "origin\nold");
  wire::Wake wake = restored();
  wake.shares = {{"s", false, "/mnt/s", false}};
  for (const char* name : {"clone", "second"}) {
    wake.hostname = name;
    REQUIRE(guest.quiesce());
    REQUIRE(guest.wake(wake));
    CHECK(guest.run("hostname; cat /etc/hostname /etc/machine-id") ==
          std::string(name) + "\n" + name + "\n" + kMachineId);
    CHECK(guest.run("cat /etc/hosts") ==
          "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + std::string(name));
    CHECK(guest.run("cat /mnt/s/name") == "shared");
    CHECK(guest.run("touch /etc/new 2>/dev/null && echo writable || echo read-only") ==
          (read_only ? "read-only" : "writable"));
    CHECK(guest.run("cat /proc/self/comm") == "cat");
  }
}

TEST_CASE("the built-in root has its own names after a restore, also where it is read-only") {
  Guest guest([](Machine&, wire::Setup& setup) { setup.root.upper = wire::UpperKind::kNone; });
  for (const char* name : {"clone", "second"}) {
    wire::Wake wake = restored();
    wake.hostname = name;
    REQUIRE(guest.quiesce());
    REQUIRE(guest.wake(wake));
    CHECK(guest.run("cat /etc/hostname; tail -n 1 /etc/hosts; cat /proc/self/comm") ==
          std::string(name) + "\n127.0.1.1 " + name + "\ncat");
    CHECK(guest.run("touch /etc/new 2>/dev/null || echo read-only") == "read-only");
  }
}

TEST_CASE("a root that is a share cannot be saved, and a host that leaves a still guest ends it") {
  const TemporaryFolder tree;
  for (const char* name : {"bin", "proc", "sys", "dev", "tmp", "etc"})
    tool({"mkdir", tree.path() + "/" + name});
  tool({"cp", "/bin/busybox", tree.path() + "/bin/sh"});
  {
    Guest guest([&](Machine& machine, wire::Setup& setup) {
      machine.shares.push_back({"root", tree.path(), true, vmette::vmm::ShareTransport::k9p});
      setup.root.kind = wire::RootKind::kShare9p;
      setup.root.source = "root";
    });
    check_busy(guest, "/", "the root is a directory of the host's");
    CHECK(guest.run("echo alive") == "alive");
  }
  Guest guest;
  guest.begin("sleep 1000");
  REQUIRE(guest.quiesce());
  guest.hang_up();
  CHECK(guest.stopped() == "poweroff");
  CHECK(contains(guest.helper().console(), "the host has gone"));
}

TEST_CASE("SHUTDOWN instead of WAKE, or before THAW, powers the machine off") {
  const bool still = GENERATE(true, false);
  Guest guest;
  guest.begin("trap 'echo bye; exit' TERM; echo trap; while :; do sleep 1; done");
  guest.until([&] { return guest.stream(1).out == "trap\n"; });
  REQUIRE(guest.quiesce());
  if (!still) REQUIRE(guest.wake(holding()));
  guest.send(Type::kShutdown, encode(wire::Shutdown{20'000}));
  guest.until([&] { return guest.log().back() == Type::kBye; });
  // The grace was one: what stood still could act on SIGTERM.
  CHECK(guest.stream(1).out == "trap\nbye\n");
  CHECK(guest.stopped() == "poweroff");
}

TEST_CASE("a frame out of its order around a save ends the machine") {
  struct Order {
    const char* name;
    std::function<void(Guest&)> send;
    const char* console;
  };
  const Order orders[] = {
      {"WAKE unasked", [](Guest& guest) { guest.send(Type::kWake, encode(wire::Wake{})); },
       "WAKE is not legal now"},
      {"THAW unasked", [](Guest& guest) { guest.send(Type::kThaw); }, "THAW is not legal"},
      {"EXEC instead of WAKE",
       [](Guest& guest) {
         REQUIRE(guest.quiesce());
         guest.begin("true");
       },
       "EXEC is not legal now"},
      {"QUIESCE before THAW",
       [](Guest& guest) {
         REQUIRE(guest.quiesce());
         REQUIRE(guest.wake(holding()));
         guest.send(Type::kQuiesce, encode(wire::Quiesce{1000}));
       },
       "QUIESCE is not legal before THAW"},
      {"a wrong machine ID",
       [](Guest& guest) {
         REQUIRE(guest.quiesce());
         wire::Wake wake = restored();
         wake.machine_id = "short";
         guest.send(Type::kWake, encode(wake));
       },
       "machine_id"},
  };
  for (const Order& order : orders) {
    INFO(order.name);
    Guest guest;
    order.send(guest);
    CHECK(guest.stopped() == "poweroff");
    CHECK(contains(guest.helper().console(), order.console));
  }
}
