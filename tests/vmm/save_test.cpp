// What a save leaves behind when something ends it: a shell script in QEMU's place hangs where the
// test wants it.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "support/catch.h"
#include "vmm/helper.h"

using namespace vmette_test;
using nlohmann::json;
using vmette::UniqueFd;
using vmette::vmm::Machine;
using vmette::vmm::to_json;

namespace {

// Answers every command, and says that a state has travelled as soon as one is to.
constexpr const char* kAnswers = R"(
n=0
while read -r line <&3; do
  n=$((n + 1))
  case $line in *HANG*) exec sleep 1000 ;; esac
  echo "{\"return\": {}, \"id\": $n}" >&3
  case $line in *'"uri"'*) echo '{"event": "MIGRATION", "data": {"status": "completed"}}' >&3 ;; esac
done
exec sleep 1000
)";

// Where the machine hangs while it is saved.
enum class Hang {
  kStop,    // its vCPUs do not stop
  kStream,  // its state never comes
  kSecond,  // it is restored, goes on, and the QEMU that is to save it again never says a word
};

// A machine that is being saved to `dir`.
class Saving {
 public:
  explicit Saving(Hang hang, pid_t parent = getpid()) : hang_(hang) {
    std::string script = kAnswers;
    const std::string mark = "HANG";
    script.replace(script.find(mark), mark.size(),
                   hang == Hang::kStop     ? "'\"stop\"'"
                   : hang == Hang::kStream ? "'\"migrate\"'"
                                           : "HANG");
    if (hang == Hang::kSecond)
      script =
          "mkdir \"$0.first\" 2>/dev/null || { echo $$ >\"$0.new\"; mv \"$0.new\" \"$0.pid\"; "
          "exec sleep 1000; }\n" +
          script;
    machine_ = scripted_machine(folder_, script);
    machine_.parent_pid = parent;
    machine_.memory_mib = 32;
    machine_.snapshottable = true;
    if (hang == Hang::kSecond) {
      std::filesystem::create_directory(folder_.path() + "/from");
      machine_.restore = folder_.path() + "/from";
      std::filesystem::resize_file(folder_.write("from/ram", ""), 32 << 20);
      folder_.write("from/devices", "state");
    }
  }

  // Returns once it hangs.
  void begin(Helper& helper) {
    const json created = helper.call("create", to_json(machine_));
    INFO(created.dump());
    REQUIRE(created.contains("ok"));
    qemu_ = created["ok"]["pid"];
    REQUIRE(helper.call("start").contains("ok"));
    id_ = helper.send("save", {{"dir", dir()}});
    if (hang_ == Hang::kSecond) {
      CHECK(helper.wait_for("continued").is_object());
      REQUIRE(wait_for_file(machine_.qemu + ".pid"));
      std::ifstream(machine_.qemu + ".pid") >> second_;
    } else {
      REQUIRE(wait_for_file(dir() + "/ram"));
    }
  }

  [[nodiscard]] std::string dir() const { return folder_.path() + "/snapshot"; }
  [[nodiscard]] uint64_t id() const { return id_; }
  [[nodiscard]] pid_t qemu() const { return qemu_; }
  // Of Hang::kSecond.
  [[nodiscard]] pid_t second() const { return second_; }
  [[nodiscard]] bool gone() const { return access(dir().c_str(), F_OK) != 0; }

 private:
  Hang hang_;
  TemporaryFolder folder_;
  Machine machine_;
  uint64_t id_ = 0;
  pid_t qemu_ = -1;
  pid_t second_ = -1;
};

std::string code_of(const json& answer) {
  return answer.contains("error") ? answer["error"]["code"].get<std::string>() : "";
}

}  // namespace

TEST_CASE("a save that is cut off leaves nothing behind, however the helper ends") {
  const Hang hang = GENERATE(Hang::kStop, Hang::kStream, Hang::kSecond);
  Saving saving(hang);
  Helper helper;
  saving.begin(helper);
  const UniqueFd qemu = watch_process(saving.qemu());
  SECTION("the socket closes") {
    helper.hang_up();
  }
  SECTION("it is told to end") {
    kill(helper.pid(), SIGTERM);
    CHECK(helper.wait_for("failed")["stage"] == "helper");
    CHECK(helper.closes());
  }
  CHECK(helper.wait() == 0);
  CHECK(saving.gone());
  CHECK(wait_for_end(qemu, std::chrono::milliseconds(0)));
  if (hang == Hang::kSecond) CHECK(kill(saving.second(), 0) != 0);
}

TEST_CASE("stop with force ends a save at once") {
  const Hang hang = GENERATE(Hang::kStop, Hang::kStream, Hang::kSecond);
  Saving saving(hang);
  Helper helper;
  saving.begin(helper);
  const uint64_t stop = helper.send("stop", {{"force", true}});
  const json answer = helper.answer_to(saving.id());
  CHECK(code_of(answer) == "hypervisor");
  CHECK(answer["error"]["stage"] == "save");
  CHECK(saving.gone());
  CHECK(helper.answer_to(stop).contains("ok"));
  CHECK(helper.wait_for("stopped")["reason"] == "killed");
}

TEST_CASE("a QEMU that is killed while it is saved fails the save and ends the machine") {
  const Hang hang = GENERATE(Hang::kStop, Hang::kStream);
  Saving saving(hang);
  Helper helper;
  saving.begin(helper);
  kill(saving.qemu(), SIGKILL);
  const json answer = helper.answer_to(saving.id());
  CHECK(code_of(answer) == "hypervisor");
  CHECK(answer["error"]["message"] == "QEMU was killed by signal 9 (Killed)");
  CHECK(saving.gone());
  CHECK(helper.wait_for("stopped")["reason"] == "killed");
}

TEST_CASE("a second QEMU that is killed fails the save and leaves the machine alone") {
  Saving saving(Hang::kSecond);
  Helper helper;
  saving.begin(helper);
  kill(saving.second(), SIGKILL);
  const json answer = helper.answer_to(saving.id());
  CHECK(code_of(answer) == "save_failed");
  const std::string message = answer["error"]["message"];
  INFO(message);
  CHECK(message.find("QEMU was killed by signal 9 (Killed)") != std::string::npos);
  CHECK(saving.gone());
  CHECK(helper.call("pause").contains("ok"));
}

TEST_CASE("a machine that ends after it was let go does not take its snapshot with it") {
  Saving saving(Hang::kSecond);
  Helper helper;
  saving.begin(helper);
  kill(saving.qemu(), SIGKILL);
  CHECK(helper.wait_for("stopped")["reason"] == "killed");
  CHECK_FALSE(saving.gone());
  kill(saving.second(), SIGKILL);
  CHECK(code_of(helper.answer_to(saving.id())) == "save_failed");
  CHECK(saving.gone());
}

TEST_CASE("a host program that is killed takes its save with it") {
  const Hang hang = GENERATE(Hang::kStream, Hang::kSecond);
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  UniqueFd near(ends[0]);
  const UniqueFd far(ends[1]);
  const pid_t host = fork();
  REQUIRE(host >= 0);
  if (host == 0) {
    while (true) pause();
  }
  Saving saving(hang, host);
  const UniqueFd watch = watch_process(Helper::spawn(far));
  Helper helper(std::move(near));
  saving.begin(helper);
  kill(host, SIGKILL);
  CHECK(waitpid(host, nullptr, 0) == host);
  CHECK(wait_for_end(watch));
  CHECK(saving.gone());
}

TEST_CASE("a directory is locked while its helper lives, and its own as long as it has the name") {
  Saving saving(Hang::kStream);
  Helper helper;
  saving.begin(helper);
  const UniqueFd other(open(saving.dir().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(flock(other.get(), LOCK_SH | LOCK_NB) == 0);
  CHECK(flock(other.get(), LOCK_EX | LOCK_NB) != 0);
  // What the library adds goes too; what has another name is the library's.
  std::ofstream(saving.dir() + "/manifest") << "text";
  std::filesystem::create_directories(saving.dir() + "/more/inside");
  const std::string moved = saving.dir() + "-moved";
  SECTION("it is removed as a whole") {
    helper.hang_up();
    CHECK(helper.wait() == 0);
    CHECK(saving.gone());
  }
  SECTION("it is left alone once it is renamed, and so is what has come to its name") {
    std::filesystem::rename(saving.dir(), moved);
    std::filesystem::create_directory(saving.dir());
    helper.hang_up();
    CHECK(helper.wait() == 0);
    CHECK_FALSE(saving.gone());
    CHECK(access((moved + "/manifest").c_str(), F_OK) == 0);
    CHECK(access((moved + "/ram").c_str(), F_OK) == 0);
    CHECK(flock(other.get(), LOCK_EX | LOCK_NB) == 0);
  }
  SECTION("a helper that is killed leaves it without a lock") {
    kill(helper.pid(), SIGKILL);
    CHECK(WIFSIGNALED(helper.wait()));
    CHECK(flock(other.get(), LOCK_EX | LOCK_NB) == 0);
  }
}

TEST_CASE("a save that cannot begin says why and changes nothing") {
  const TemporaryFolder folder;
  Machine machine = scripted_machine(folder, kAnswers);
  machine.memory_mib = 32;
  const auto refusal = [](Helper& helper, const json& fields) {
    const json answer = helper.call("save", fields);
    REQUIRE(answer.contains("error"));
    return answer["error"]["code"].get<std::string>() + ": " +
           answer["error"]["message"].get<std::string>();
  };
  {
    Helper helper;
    CHECK(refusal(helper, {{"dir", "/none"}}) ==
          "bad_request: save: the machine neither runs nor is paused");
    REQUIRE(helper.call("create", to_json(machine)).contains("ok"));
    REQUIRE(helper.call("start").contains("ok"));
    CHECK(refusal(helper, {{"dir", folder.path() + "/new"}}) ==
          "not_snapshottable: save: the machine was not created as one that can be saved; set "
          "snapshottable");
  }
  machine.snapshottable = true;
  Helper helper;
  REQUIRE(helper.call("create", to_json(machine)).contains("ok"));
  REQUIRE(helper.call("start").contains("ok"));
  CHECK(refusal(helper, json::object()) == "bad_request: dir: must be an absolute path");
  CHECK(refusal(helper, {{"dir", "new"}}) == "bad_request: dir: must be an absolute path");
  CHECK(refusal(helper, {{"dir", "/new"}, {"resume", 1}}) ==
        "bad_request: resume: must be true or false");
  CHECK(refusal(helper, {{"dir", folder.path()}}) ==
        "save_failed: save: '" + folder.path() + "' cannot be made: File exists");
  CHECK(refusal(helper, {{"dir", folder.path() + "/a/b"}}) ==
        "save_failed: save: '" + folder.path() + "/a/b' cannot be made: No such file or directory");
  CHECK(helper.call("pause").contains("ok"));
}

TEST_CASE("a disk that cannot be copied fails the create, which can be tried again") {
  const TemporaryFolder folder;
  Machine machine = scripted_machine(folder, kAnswers);
  machine.memory_mib = 32;
  const std::string image = folder.write("image", std::string(1024, 'i'));
  std::filesystem::resize_file(image, 16 << 20);
  machine.disks = {{image, "disk", false, folder.path()}};
  machine.scratch = vmette::vmm::Scratch{folder.path(), "scratch", 16, image};
  Helper helper;
  const auto refusal = [&](const Machine& wanted) {
    const json answer = helper.call("create", to_json(wanted));
    REQUIRE(answer.contains("error"));
    return answer["error"]["code"].get<std::string>() + ": " +
           answer["error"]["message"].get<std::string>();
  };
  Machine wrong = machine;
  wrong.disks[0].copy_in = folder.path() + "/none";
  CHECK(refusal(wrong) == "bad_disk: disks: a copy of '" + image + "' in '" + folder.path() +
                              "/none': no file can be made there: No such file or directory");
  wrong = machine;
  wrong.scratch->mib = 17;
  CHECK(refusal(wrong) == "bad_scratch: scratch_mib: a disk of 17 MiB in '" + folder.path() +
                              "': '" + image + "' is no image of this size");
  wrong = machine;
  wrong.scratch->image = folder.path() + "/none";
  CHECK(refusal(wrong).find("/none' cannot be read: No such file or directory") !=
        std::string::npos);
  wrong = machine;
  wrong.snapshottable = true;
  wrong.disks[0] = {"/dev/loop0", "disk", false};
  if (std::filesystem::is_block_file("/dev/loop0"))
    CHECK(vmette::vmm::why_not_snapshottable(wrong) ==
          "disk '/dev/loop0': a block device that the machine writes cannot be saved with it; "
          "attach it read-only or use an image file");

  const rlimit small{1 << 20, RLIM_INFINITY};
  const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  REQUIRE(prlimit(helper.pid(), RLIMIT_FSIZE, &small, nullptr) == 0);
  CHECK(refusal(machine) == "bad_disk: disks: a copy of '" + image + "' in '" + folder.path() +
                                "': File too large; make room there or choose another directory");
  REQUIRE(prlimit(helper.pid(), RLIMIT_FSIZE, &none, nullptr) == 0);
  CHECK(helper.call("create", to_json(machine)).contains("ok"));
}

TEST_CASE("capabilities tell whether a machine could be saved") {
  const TemporaryFolder folder;
  Machine machine = scripted_machine(folder, "echo 'QEMU emulator version 12.3.4 (Test)'\n");
  const auto snapshot = [&](const Machine& wanted) {
    Helper helper;
    const json answer =
        helper.call("capabilities", {{"qemu", machine.qemu}, {"machine", to_json(wanted)}});
    INFO(answer.dump());
    REQUIRE(answer.contains("ok"));
    return std::pair(answer["ok"]["snapshot"].get<bool>(),
                     answer["ok"]["snapshot_reason"].get<std::string>());
  };
  CHECK(snapshot(machine) == std::pair(true, std::string("QEMU saves such machines.")));
  machine.shares = {{"t", "/srv", false, vmette::vmm::ShareTransport::kVirtiofs}};
  CHECK(snapshot(machine) ==
        std::pair(false, std::string("share '/srv': a machine with virtio-fs cannot be saved; let "
                                     "its transport be auto or 9p")));
  // It is not created either.
  machine.snapshottable = true;
  Helper helper;
  const json answer = helper.call("create", to_json(machine));
  CHECK(code_of(answer) == "not_snapshottable");
  const json wrong = helper.call("capabilities", {{"machine", {{"vcpus", 0}}}});
  CHECK(wrong["error"]["message"].get<std::string>().find("machine: ") == 0);
}
