// The helper against a shell script in QEMU's place: what the library and the system see of it.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "support/catch.h"
#include "support/environment.h"
#include "support/program.h"
#include "vmm/helper.h"

using namespace vmette_test;
using nlohmann::json;
using vmette::vmm::Machine;
using vmette::vmm::to_json;

namespace {

// What makes `create` succeed: the answer to the helper's first QMP command.
constexpr const char* kHandshake = "echo '{\"return\": {}, \"id\": 1}' >&3\n";

std::string code_of(const json& answer) {
  return answer.contains("error") ? answer["error"]["code"].get<std::string>() : "";
}

std::string message_of(const json& answer) {
  return answer.contains("error") ? answer["error"]["message"].get<std::string>() : "";
}

size_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  return 0;
}

// An instrumented helper is larger than what the limit is about.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#elif defined(__has_feature)
constexpr bool kInstrumented = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kInstrumented = false;
#endif

}  // namespace

TEST_CASE("vmette-vmm prints its version") {
  const Ending ending = run_program({"/bin/sh", "-c", "exec \"$VMETTE_VMM\" --version"});
  CHECK(ending.code == 0);
  CHECK(ending.out == "vmette-vmm " VMETTE_VERSION " (qemu)\n");
}

TEST_CASE("vmette-vmm started by hand says so in one line and exits with 2") {
  const Ending ending = run_program({"/bin/sh", "-c", "exec \"$VMETTE_VMM\" 3</dev/null"});
  CHECK(ending.code == 2);
  CHECK(ending.out.empty());
  CHECK(ending.err ==
        "vmette-vmm: is started by libvmette, not by hand (descriptor 3 is no socket)\n");
}

TEST_CASE("garbage on the socket is answered with bad_request and the helper goes on") {
  Helper helper;
  const auto refused = [&](const std::string& line, const json& id, const char* message) {
    helper.send_raw(line);
    const json answer = helper.answer_to(id);
    CHECK(answer["error"]["stage"] == "request");
    CHECK(code_of(answer) == "bad_request");
    CHECK(message_of(answer) == message);
  };
  const char* no_object = "the line is no JSON object";
  refused("garbage", nullptr, no_object);
  refused("", nullptr, no_object);
  refused("[]", nullptr, no_object);
  refused("{\"id\": 1", nullptr, no_object);
  refused(std::string("\xff\xfe\0", 3), nullptr, no_object);
  refused(std::string(500'000, '['), nullptr, no_object);
  refused("{\"op\": \"stop\"}", nullptr, "id: must be a whole number");
  refused("{\"id\": -1, \"op\": \"stop\"}", nullptr, "id: must be a whole number");
  refused("{\"id\": 900}", 900, "op: must be a string");
  refused("{\"id\": 901, \"op\": \"dance\"}", 901, "op: \"dance\" is unknown");
  refused("{\"id\": 902, \"op\": \"create\", \"version\": 1}", 902, "version: must be a string");
  CHECK(code_of(helper.call("stop")) == "bad_request");
}

TEST_CASE("a line longer than 1 MiB ends the helper with a word about it") {
  Helper helper;
  helper.send_raw(std::string(vmette::vmm::kMaxLineBytes + 1, 'x'));
  CHECK(helper.wait_for("failed")["message"] == "a line is longer than 1 MiB");
  CHECK(helper.closes());
  CHECK(helper.wait() == 0);
}

TEST_CASE("requests out of order are refused by name") {
  const TemporaryFolder folder;
  Helper helper;
  CHECK(message_of(helper.call("start")) == "start: there is no machine that waits for it");
  CHECK(message_of(helper.call("pause")) == "pause: the machine does not run");
  CHECK(message_of(helper.call("resume")) == "resume: the machine is not paused");
  CHECK(message_of(helper.call("stop")) == "stop: there is no machine");
  CHECK(message_of(helper.call("console")) == "console: there is no machine");
  const Machine machine = scripted_machine(folder, std::string(kHandshake) + "exec sleep 1000");
  REQUIRE(helper.call("create", to_json(machine)).contains("ok"));
  CHECK(message_of(helper.call("create", to_json(machine))) ==
        "create: this helper has had its machine");
}

TEST_CASE("many requests sent at once are all answered in order") {
  Helper helper;
  std::vector<uint64_t> ids;
  for (int i = 0; i < 200; ++i) ids.push_back(helper.send("console"));
  // answer_to() fails on any other answer, for ids come back as they were sent.
  for (const uint64_t id : ids) REQUIRE(code_of(helper.answer_to(id)) == "bad_request");
}

TEST_CASE("a library of another version is told so before anything else") {
  const TemporaryFolder folder;
  json fields = to_json(scripted_machine(folder, ""));
  fields["version"] = "0.0.9";
  fields["field of another version"] = true;
  Helper helper;
  const json answer = helper.call("create", fields);
  CHECK(code_of(answer) == "version_mismatch");
  CHECK(message_of(answer) == "version: the library is 0.0.9, the helper " VMETTE_VERSION
                              "; install one matched set");
}

TEST_CASE("a create that fails before QEMU can be tried again") {
  const TemporaryFolder folder;
  Machine machine = scripted_machine(folder, std::string(kHandshake) + "exec sleep 1000");
  Helper helper;

  Machine wrong = machine;
  wrong.qemu = "/none/qemu";
  json answer = helper.call("create", to_json(wrong));
  CHECK(code_of(answer) == "not_found");
  CHECK(message_of(answer).find("qemu-system-x86") != std::string::npos);
  CHECK(message_of(answer).find("VMETTE_QEMU") != std::string::npos);

  wrong = machine;
  wrong.kernel = folder.write("text", "no kernel\n");
  answer = helper.call("create", to_json(wrong));
  CHECK(answer["error"]["stage"] == "create");
  CHECK(code_of(answer) == "bad_kernel");

  wrong = machine;
  wrong.initramfs = folder.path();
  CHECK(code_of(helper.call("create", to_json(wrong))) == "bad_initramfs");

  wrong = machine;
  wrong.vcpus = 0;
  CHECK(message_of(helper.call("create", to_json(wrong))) ==
        "vcpus: 0 is out of range; use 1 to 255");

  wrong = machine;
  wrong.arch = vmette::vmm::host_arch() == vmette::vmm::Arch::kX86_64 ? vmette::vmm::Arch::kAarch64
                                                                      : vmette::vmm::Arch::kX86_64;
  wrong.accel = vmette::vmm::Accel::kKvm;
  std::string image = fake_bzimage();
  image.replace(0x38, 4, "ARMd");
  wrong.kernel = folder.write("both", image);
  CHECK(code_of(helper.call("create", to_json(wrong))) == "kvm_unavailable");

  CHECK(helper.call("create", to_json(machine)).contains("ok"));
}

TEST_CASE("a QEMU that ends during create is quoted, and no stopped event follows") {
  const TemporaryFolder folder;
  Helper helper;
  const Machine machine =
      scripted_machine(folder, "echo first >&2; echo second; echo third >&2; exit 3");
  const json answer = helper.call("create", to_json(machine));
  CHECK(answer["error"]["stage"] == "create");
  CHECK(code_of(answer) == "hypervisor");
  CHECK(message_of(answer) == "QEMU exited with status 3: first; second; third");
  helper.send("console");
  const uint64_t id = helper.send("stop");
  CHECK(helper.answer_to(id - 1).contains("ok"));
  CHECK(helper.answer_to(id).contains("ok"));
  helper.hang_up();
  CHECK(helper.wait() == 0);
}

TEST_CASE("QEMU inherits five descriptors, two variables and default signals") {
  const TemporaryFolder folder;
  // A descriptor of a careless host program, open and inheritable where the helper is started.
  const vmette::UniqueFd stray(fcntl(STDERR_FILENO, F_DUPFD, 50));
  signal(SIGUSR1, SIG_IGN);
  Helper helper;
  const Machine machine =
      scripted_machine(folder,
                       "cd /proc/$$/fd && echo fds *\n"
                       "readlink 0\n"
                       "tr '\\0' '\\n' </proc/$$/environ | sort\n"
                       "grep -E '^Sig(Blk|Ign)' /proc/$$/status | tr '\\t' ' '\n"
                       "[ \"$(cut -d ' ' -f 6 /proc/$$/stat)\" = $$ ] && echo own session\n"
                       "exit 1");
  const std::string text = message_of(helper.call("create", to_json(machine)));
  signal(SIGUSR1, SIG_DFL);
  // The shell has its script open as 10 and the folder that it lists as 6.
  CHECK(text ==
        "QEMU exited with status 1: fds 0 1 10 2 3 4 5 6; /dev/null; LC_ALL=C; "
        "PATH=/usr/local/bin:/usr/bin:/bin; SigBlk: 0000000000000000; SigIgn: 0000000000000000; "
        "own session");
}

TEST_CASE("stop with force ends a create that QEMU never answers") {
  const TemporaryFolder folder;
  const Machine machine = scripted_machine(folder, "exec sleep 1000");
  Helper helper;
  const uint64_t create = helper.send("create", to_json(machine));
  const uint64_t stop = helper.send("stop", {{"force", true}});
  const json answer = helper.answer_to(create);
  CHECK(code_of(answer) == "hypervisor");
  CHECK(message_of(answer) == "QEMU was killed by signal 9 (Killed)");
  CHECK(helper.answer_to(stop).contains("ok"));
}

TEST_CASE("a helper whose mke2fs hangs still ends, and mke2fs with it, however it is told to") {
  const TemporaryFolder folder;
  const std::string pid_file = folder.path() + "/pid";
  const std::string slow = folder.write("mke2fs",
                                        "#!/bin/sh\necho $$ >" + pid_file + ".new; mv " + pid_file +
                                            ".new " + pid_file + "\nexec sleep 1000\n",
                                        0700);
  const Environment mke2fs("VMETTE_MKE2FS", slow.c_str());
  Machine machine = scripted_machine(folder, std::string(kHandshake) + "exec sleep 1000");
  machine.scratch = vmette::vmm::Scratch{folder.path(), "vmette-scratch", 16};
  const auto formatting = [&](Helper& helper) {
    unlink(pid_file.c_str());
    const uint64_t create = helper.send("create", to_json(machine));
    REQUIRE(wait_for_file(pid_file));
    pid_t pid = 0;
    std::ifstream(pid_file) >> pid;
    return std::pair(create, watch_process(pid));
  };
  {
    Helper helper;
    const auto [create, tool] = formatting(helper);
    helper.hang_up();
    CHECK(helper.wait() == 0);
    CHECK(wait_for_end(tool));
  }
  {
    Helper helper;
    const auto [create, tool] = formatting(helper);
    kill(helper.pid(), SIGTERM);
    CHECK(helper.wait_for("failed")["message"] == "the helper was told to end (SIGTERM)");
    CHECK(helper.closes());
    CHECK(wait_for_end(tool));
  }
  {
    Helper helper;
    const auto [create, tool] = formatting(helper);
    kill(helper.pid(), SIGKILL);
    CHECK(wait_for_end(tool));
  }
  Helper helper;
  const auto [create, tool] = formatting(helper);
  const uint64_t stop = helper.send("stop", {{"force", true}});
  const json answer = helper.answer_to(create);
  CHECK(code_of(answer) == "hypervisor");
  CHECK(message_of(answer) == "the machine was stopped before QEMU was started");
  CHECK(helper.answer_to(stop).contains("ok"));
  CHECK(wait_for_end(tool));
}

TEST_CASE("a scratch disk that cannot be made fails the create, which can be tried again") {
  const TemporaryFolder folder;
  Machine machine = scripted_machine(folder, std::string(kHandshake) + "exec sleep 1000");
  machine.scratch = vmette::vmm::Scratch{folder.path(), "vmette-scratch", 16};
  const std::string failing =
      folder.write("failing", "#!/bin/sh\necho first; echo last >&2; exit 3\n", 0700);
  const auto error = [&](const std::string& program, const Machine& wanted) {
    const Environment mke2fs("VMETTE_MKE2FS", program.c_str());
    Helper helper;
    const json answer = helper.call("create", to_json(wanted));
    return code_of(answer) + ": " + message_of(answer);
  };
  CHECK(error(failing, machine) ==
        "bad_scratch: scratch_mib: a disk of 16 MiB in '" + folder.path() +
            "': mke2fs exited with status 3: last; make room there or choose another directory");
  CHECK(error("/none", machine) ==
        "not_found: VMETTE_MKE2FS: /none cannot be run: No such file or directory; give the full "
        "path of mke2fs");
  const std::string garbage = folder.write("garbage", "garbage", 0700);
  CHECK(error(garbage, machine) == "not_found: scratch_mib: mke2fs cannot be run: " + garbage +
                                       ": Exec format error; install the package e2fsprogs or "
                                       "set VMETTE_MKE2FS");
  Helper helper;
  Machine wrong = machine;
  wrong.scratch->directory = folder.path() + "/none";
  CHECK(code_of(helper.call("create", to_json(wrong))) == "bad_scratch");
  CHECK(helper.call("create", to_json(machine)).contains("ok"));
}

TEST_CASE("stop with force ends a pause that QEMU never answers") {
  const TemporaryFolder folder;
  // Answers the start and nothing after it.
  const Machine machine =
      scripted_machine(folder, std::string(kHandshake) +
                                   "read -r line <&3; read -r line <&3\n"
                                   "echo '{\"return\": {}, \"id\": 2}' >&3\nexec sleep 1000");
  Helper helper;
  REQUIRE(helper.call("create", to_json(machine)).contains("ok"));
  REQUIRE(helper.call("start").contains("ok"));
  const uint64_t pause = helper.send("pause");
  const uint64_t stop = helper.send("stop", {{"force", true}});
  const json answer = helper.answer_to(pause);
  CHECK(answer["error"]["stage"] == "pause");
  CHECK(code_of(answer) == "hypervisor");
  CHECK(helper.answer_to(stop).contains("ok"));
  CHECK(helper.wait_for("stopped")["reason"] == "killed");
}

TEST_CASE("a console that nobody reads is dropped and counted, and the helper stays small") {
  const TemporaryFolder folder;
  constexpr size_t kPrinted = size_t{8} * 1024 * 1024;
  const Machine machine = scripted_machine(
      folder, std::string(kHandshake) +
                  "head -c 8388600 /dev/zero | tr '\\0' x >&5\nprintf 'the end\\n' >&5; exit 0");
  Helper helper;
  const json created = helper.call("create", to_json(machine));
  REQUIRE(created.contains("ok"));
  // Nothing is read from here until QEMU has ended, which it can only if the helper drains it.
  REQUIRE(wait_for_end(watch_process(created["ok"]["pid"].get<pid_t>())));
  CHECK(helper.wait_for("stopped")["status"] == "exited with status 0");
  CHECK(helper.console().size() + helper.dropped() == kPrinted);
  CHECK(helper.dropped() > kPrinted / 2);
  CHECK(helper.console().ends_with("xthe end\n"));
  if (!kInstrumented) CHECK(resident_kib(helper.pid()) <= size_t{8} * 1024);
}

TEST_CASE("a terminal's signals leave the machine alone and SIGTERM ends it") {
  const TemporaryFolder folder;
  const Machine machine = scripted_machine(folder, std::string(kHandshake) + "exec sleep 1000");
  Helper helper;
  const json created = helper.call("create", to_json(machine));
  REQUIRE(created.contains("ok"));
  const auto qemu = watch_process(created["ok"]["pid"].get<pid_t>());
  for (const int number : {SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE}) kill(helper.pid(), number);
  CHECK(helper.call("console").contains("ok"));
  kill(helper.pid(), SIGTERM);
  CHECK(helper.wait_for("failed")["stage"] == "helper");
  CHECK(helper.closes());
  CHECK(helper.wait() == 0);
  CHECK(wait_for_end(qemu, std::chrono::milliseconds(0)));
}

TEST_CASE("a machine whose QEMU reports an internal error is ended with that word") {
  const TemporaryFolder folder;
  const Machine machine = scripted_machine(
      folder, std::string(kHandshake) +
                  "echo '{\"event\": \"STOP\"}' >&3\n"
                  "read -r line <&3; read -r line <&3\n"
                  "echo '{\"return\": {\"status\": \"internal-error\"}, \"id\": 2}' >&3\n"
                  "exec sleep 1000");
  Helper helper;
  REQUIRE(helper.call("create", to_json(machine)).contains("ok"));
  const json stopped = helper.wait_for("stopped");
  CHECK(stopped["reason"] == "killed");
  CHECK(stopped["message"] == "QEMU stopped the machine: internal-error");
}

TEST_CASE("nonsense from QEMU's control socket is passed over") {
  const TemporaryFolder folder;
  const Machine machine = scripted_machine(
      folder,
      "echo garbage >&3; echo '[]' >&3; echo '{\"event\": 3}' >&3; echo '{\"id\": 77}' >&3\n"
      "echo '{\"event\": \"SHUTDOWN\", \"data\": []}' >&3\n"
      "echo '{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": 4}}' >&3\n" +
          std::string(kHandshake) + "exec sleep 1000");
  Helper helper;
  REQUIRE(helper.call("create", to_json(machine)).contains("ok"));
  REQUIRE(helper.call("stop", {{"force", true}}).contains("ok"));
  CHECK(helper.wait_for("stopped")["reason"] == "killed");
}

TEST_CASE("capabilities name the program, its version and why emulation or KVM was chosen") {
  const TemporaryFolder folder;
  const std::string program =
      folder.write("qemu", "#!/bin/sh\necho 'QEMU emulator version 12.3.4 (Test)'\n", 0700);
  Helper helper;
  const json answer =
      helper.call("capabilities", {{"qemu", program}, {"accel", "tcg"}, {"arch", "aarch64"}});
  REQUIRE(answer.contains("ok"));
  const json& about = answer["ok"];
  CHECK(about["hypervisor"] == "qemu");
  CHECK(about["version"] == "12.3.4");
  CHECK(about["program"] == program);
  CHECK(about["arch"] == "aarch64");
  CHECK(about["accel"] == "tcg");
  CHECK(about["accel_reason"] == "Emulation, as asked for.");
  CHECK(about["device_limit"] == 23);
  CHECK(code_of(helper.call("capabilities", {{"qemu", "/none"}})) == "not_found");
  CHECK(message_of(helper.call("capabilities", {{"accel", "warp"}})) ==
        "accel: must be auto, kvm or tcg");
}
