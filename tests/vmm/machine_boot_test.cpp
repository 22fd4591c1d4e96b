// The helper with a real QEMU and the kernel of the guest assets.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/base64.h"
#include "support/catch.h"
#include "vmm/helper.h"

using namespace vmette_test;
using nlohmann::json;
using vmette::UniqueFd;
using vmette::vmm::Machine;
using vmette::vmm::to_json;

namespace {

// Creates and starts the bare machine; returns a watch on its QEMU. The kernel is kept from ever
// ending by itself: it waits for a root device that does not exist.
UniqueFd start_waiting_machine(Helper& helper, pid_t parent = getpid()) {
  Machine machine = bare_machine();
  machine.parent_pid = parent;
  machine.cmdline = "root=/dev/vda rootwait";
  const json created = helper.call("create", to_json(machine));
  REQUIRE(created.contains("ok"));
  UniqueFd qemu = watch_process(created["ok"]["pid"].get<pid_t>());
  REQUIRE(helper.call("start").contains("ok"));
  return qemu;
}

std::pair<UniqueFd, UniqueFd> make_sockets() {
  std::array<int, 2> fds{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

pid_t pid_behind(const UniqueFd& watch) {
  const std::string path = "/proc/self/fdinfo/" + std::to_string(watch.get());
  std::array<char, 512> text{};
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(read(file.get(), text.data(), text.size() - 1) > 0);
  const std::string info(text.data());
  return static_cast<pid_t>(std::stol(info.substr(info.find("Pid:") + 4)));
}

}  // namespace

TEST_CASE("a kernel without a root panics, and the helper reports its console and a reset") {
  Helper helper;
  const json created = helper.call("create", to_json(bare_machine()));
  REQUIRE(created.contains("ok"));
  CHECK(created["ok"]["cmdline"].get<std::string>().find("panic=-1") != std::string::npos);
  const UniqueFd control = helper.take_fd();
  CHECK(control.valid());
  CHECK(helper.console().empty());
  REQUIRE(helper.call("start").contains("ok"));
  const json stopped = helper.wait_for("stopped");
  CHECK(stopped["reason"] == "reset");
  CHECK(stopped["status"] == "exited with status 0");
  CHECK(stopped["message"].get<std::string>().empty());
  CHECK(helper.dropped() == 0);
  CHECK(helper.console().find("Kernel panic - not syncing") != std::string::npos);

  const json tail = helper.call("console");
  CHECK(vmette::base64_decode(tail["ok"]["tail"].get<std::string>()) == helper.console());
  CHECK(helper.call("stop").contains("ok"));
  CHECK(helper.call("stop", {{"force", true}}).contains("ok"));
  // The control stream has ended with QEMU.
  char byte = 0;
  CHECK(recv(control.get(), &byte, 1, MSG_DONTWAIT) == 0);
  helper.hang_up();
  CHECK(helper.wait() == 0);
}

TEST_CASE("a machine can be paused and resumed, and a paused one refuses the power button") {
  Helper helper;
  start_waiting_machine(helper);
  CHECK(helper.call("resume").contains("error"));
  REQUIRE(helper.call("pause").contains("ok"));
  CHECK(helper.call("pause").contains("error"));
  CHECK(helper.call("stop")["error"]["code"] == "bad_request");
  REQUIRE(helper.call("resume").contains("ok"));
  CHECK(helper.call("stop").contains("ok"));
  REQUIRE(helper.call("stop", {{"force", true}}).contains("ok"));
  const json stopped = helper.wait_for("stopped");
  CHECK(stopped["reason"] == "killed");
  CHECK(stopped["status"] == "was killed by signal 9 (Killed)");
}

TEST_CASE("a machine that was never started ends when it is asked to stop") {
  Helper helper;
  REQUIRE(helper.call("create", to_json(bare_machine())).contains("ok"));
  REQUIRE(helper.call("stop").contains("ok"));
  CHECK(helper.wait_for("stopped")["reason"] == "exited");
}

TEST_CASE("a QEMU that is killed from outside is reported with its signal") {
  Helper helper;
  const UniqueFd qemu = start_waiting_machine(helper);
  kill(pid_behind(qemu), SIGKILL);
  const json stopped = helper.wait_for("stopped");
  CHECK(stopped["reason"] == "killed");
  CHECK(stopped["status"] == "was killed by signal 9 (Killed)");
}

TEST_CASE("a helper that is killed takes its QEMU with it") {
  Helper helper;
  const UniqueFd qemu = start_waiting_machine(helper);
  kill(helper.pid(), SIGKILL);
  CHECK(wait_for_end(qemu));
  CHECK(WIFSIGNALED(helper.wait()));
}

TEST_CASE("a socket that closes ends the machine and the helper") {
  Helper helper;
  const UniqueFd qemu = start_waiting_machine(helper);
  helper.hang_up();
  CHECK(helper.wait() == 0);
  CHECK(wait_for_end(qemu, std::chrono::milliseconds(0)));
}

TEST_CASE("a host program that is killed takes its machine with it, whoever holds the socket") {
  // The host program is a child that starts the helper and then waits to be killed; this process
  // keeps the socket open all the while.
  auto [near, far] = make_sockets();
  auto [report, report_far] = make_sockets();
  const pid_t host = fork();
  REQUIRE(host >= 0);
  if (host == 0) {
    const pid_t pid = Helper::spawn(far);
    if (write(report_far.get(), &pid, sizeof pid) != sizeof pid) _exit(1);
    while (true) pause();
  }
  far.reset();
  pid_t helper_pid = -1;
  REQUIRE(read(report.get(), &helper_pid, sizeof helper_pid) == sizeof helper_pid);
  const UniqueFd helper_watch = watch_process(helper_pid);
  Helper helper(std::move(near));
  const UniqueFd qemu = start_waiting_machine(helper, host);

  kill(host, SIGKILL);
  CHECK(waitpid(host, nullptr, 0) == host);
  CHECK(wait_for_end(helper_watch));
  CHECK(wait_for_end(qemu));
}

TEST_CASE("a helper whose host program has died before create ends without a machine") {
  const pid_t host = fork();
  REQUIRE(host >= 0);
  if (host == 0) _exit(0);
  REQUIRE(waitpid(host, nullptr, 0) == host);
  Machine machine = bare_machine();
  machine.parent_pid = host;
  Helper helper;
  helper.send("create", to_json(machine));
  CHECK(helper.closes());
  CHECK(helper.wait() == 0);
}

TEST_CASE("QEMU takes disks and shares with commas in their names, up to the device limit") {
  const TemporaryFolder folder;
  Machine machine = bare_machine();
  const std::string image = folder.write("a,b.img", std::string(65536, '\0'));
  for (int i = 0; i < 11; ++i) {
    machine.disks.push_back({image, "disk," + std::to_string(i), true});
    machine.shares.push_back({"tag," + std::to_string(i), folder.path(), i % 2 == 0});
  }
  Helper helper;
  const json created = helper.call("create", to_json(machine));
  INFO(created.dump());
  REQUIRE(created.contains("ok"));
  REQUIRE(helper.call("start").contains("ok"));
  CHECK(helper.wait_for("stopped")["reason"] == "reset");
}

TEST_CASE("a disk that is not there is missed before QEMU is started") {
  const TemporaryFolder folder;
  Machine machine = bare_machine();
  machine.disks = {{folder.path() + "/none", "disk", false}};
  Helper helper;
  const json answer = helper.call("create", to_json(machine));
  CHECK(answer["error"]["stage"] == "create");
  CHECK(answer["error"]["code"] == "bad_disk");
  const std::string message = answer["error"]["message"];
  INFO(message);
  CHECK(message.find("/none' cannot be used: No such file or directory") != std::string::npos);
}

TEST_CASE("a writable disk of one machine is refused to another by the file's lock") {
  const TemporaryFolder folder;
  Machine machine = bare_machine();
  machine.disks = {{folder.write("disk", std::string(65536, '\0')), "disk", false}};
  Helper first;
  REQUIRE(first.call("create", to_json(machine)).contains("ok"));
  Helper second;
  const json answer = second.call("create", to_json(machine));
  REQUIRE(answer.contains("error"));
  CHECK(answer["error"]["code"] == "disk_in_use");
  CHECK(answer["error"]["message"].get<std::string>().find("/disk' is in use") !=
        std::string::npos);
}
