#include <signal.h>
#include <unistd.h>

#include <random>

#include "cli/cli.h"
#include "support/catch.h"
#include "support/temp_dir.h"

using vmette_test::cli;
using vmette_test::count_lines;
using vmette_test::Ending;
using vmette_test::Program;
using vmette_test::run_cli;
using vmette_test::TempDir;

TEST_CASE("a shell line's output, error output and exit code reach the caller apart") {
  const Ending ending = run_cli({"--quiet", "--exec", "echo out; echo err >&2; exit 7"});
  CHECK(ending.code == 7);
  CHECK(ending.out == "out\n");
  CHECK(ending.err == "err\n");
}

TEST_CASE("an argument vector reaches the guest word for word") {
  const Ending ending = run_cli({"--quiet", "--", "printf", "<%s>", "a b", "", "$HOME", "-x"});
  INFO(ending.err);
  CHECK(ending.code == 0);
  CHECK(ending.out == "<a b><><$HOME><-x>");
}

TEST_CASE("stdin reaches the command and comes back unchanged") {
  CHECK(run_cli({"--quiet", "--exec", "cat"}, "hi\n").out == "hi\n");

  std::minstd_rand random(1);
  std::string bytes(1'500'000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  const Ending ending = run_cli({"--quiet", "--", "cat"}, bytes);
  INFO(ending.err);
  CHECK(ending.code == 0);
  CHECK(ending.out.size() == bytes.size());
  CHECK((ending.out == bytes));
}

TEST_CASE("a standard stream that is closed is empty or dropped and disturbs no other one") {
  const auto run_without = [](const char* redirection, const std::string& line) {
    const std::string start = std::string("exec \"$0\" \"$@\" ") + redirection;
    return vmette_test::run_program(
        {"sh", "-c", start, VMETTE_TEST_CLI, "--quiet", "--exec", line});
  };
  const std::string line = "cat; echo out; echo err >&2; exit 7";
  const Ending no_input = run_without("<&-", line);
  CHECK_FALSE(no_input.timed_out);
  CHECK(no_input.code == 7);
  CHECK(no_input.out == "out\n");
  CHECK(no_input.err == "err\n");
  const Ending no_output = run_without(">&-", line);
  CHECK(no_output.code == 7);
  CHECK(no_output.err == "err\n");
  const Ending nothing = run_without("<&- >&- 2>&-", line);
  CHECK_FALSE(nothing.timed_out);
  CHECK(nothing.code == 7);
}

TEST_CASE("without a command the guest's shell reads its script from stdin") {
  const Ending ending = run_cli({"--quiet"}, "echo $((6 * 7))\nexit 3\n");
  INFO(ending.err);
  CHECK(ending.out == "42\n");
  CHECK(ending.code == 3);
}

TEST_CASE("who powers the machine off from the interactive shell stops it, and that is 0") {
  const Ending shell = run_cli({"--quiet"}, "echo out; poweroff -f\n");
  INFO(shell.err);
  CHECK(shell.out == "out\n");
  CHECK(shell.err.empty());
  CHECK(shell.code == 0);
  // A command that was to give a result has given none.
  const Ending command = run_cli({"--quiet", "--exec", "echo out; poweroff -f"});
  CHECK(command.code == 1);
  CHECK(count_lines(command.err) == 1);
  CHECK(command.err.find("powered itself off") != std::string::npos);
}

TEST_CASE("the interactive shell needs no writable root, as real root or not") {
  for (const bool switched : {false, true}) {
    std::vector<std::string> words = {"--quiet", "--rootfs", "/", "--rootfs-ro"};
    if (switched) words.emplace_back("--switch-root");
    const Ending ending = run_cli(words, "echo up; touch /vmette-cli-test; exit 6\n");
    INFO(switched << ending.err);
    CHECK(ending.out == "up\n");
    CHECK(ending.code == 6);
    CHECK(::access("/vmette-cli-test", F_OK) != 0);
  }
}

TEST_CASE("a command that a signal ends gives 128 and the signal's number") {
  CHECK(run_cli({"--quiet", "--exec", "kill -TERM $$"}).code == 143);
  CHECK(run_cli({"--quiet", "--exec", "kill -KILL $$"}).code == 137);
}

TEST_CASE("environment variables reach the command, the later of two with one key wins") {
  const Ending ending = run_cli({"--quiet", "--env", "A=-1 'q'", "--env", "B=x", "--env", "B=y=z",
                                 "--exec", "echo \"$A|$B\""});
  INFO(ending.err);
  CHECK(ending.out == "-1 'q'|y=z\n");
}

TEST_CASE("the machine has the vCPUs and the memory that were asked for") {
  const Ending ending =
      run_cli({"--quiet", "--vcpus", "2", "--mem-mib", "256", "--exec",
               "nproc; awk '/MemTotal/ { print ($2 > 180000 && $2 < 262144) }' /proc/meminfo"});
  INFO(ending.err);
  CHECK(ending.out == "2\n1\n");
}

TEST_CASE("a timeout ends the machine with 124") {
  const Ending ending = run_cli({"--quiet", "--timeout", "3", "--exec", "sleep 600"});
  INFO(ending.err);
  CHECK(ending.code == 124);
}

TEST_CASE("a timeout gives 124 although nobody reads what the command prints") {
  const vmette_test::TempDir dir;
  vmette_test::ProgramOptions inside;
  inside.directory = dir.path();
  // The tool itself holds the other end of its output and reads nothing from it.
  const std::string start = "mkfifo pipe; exec 3<>pipe; rm pipe; exec \"$0\" \"$@\" >&3 2>&3";
  for (const bool quiet : {true, false}) {
    std::vector<std::string> words = {"sh",        "-c", start,    VMETTE_TEST_CLI,
                                      "--timeout", "3",  "--exec", "yes & yes >&2"};
    if (quiet) words.emplace(words.begin() + 4, "--quiet");
    const Ending ending = vmette_test::run_program(words, {}, inside);
    INFO(quiet);
    CHECK_FALSE(ending.timed_out);
    CHECK(ending.code == 124);
  }
}

TEST_CASE("the banner is on stderr and quiet takes it away") {
  const Ending loud = run_cli({"--exec", "echo out"});
  CHECK(loud.out == "out\n");
  CHECK(!loud.err.empty());
  const Ending quiet = run_cli({"--quiet", "--exec", "echo out"});
  CHECK(quiet.out == "out\n");
  CHECK(quiet.err.empty());
}

TEST_CASE("a program that is not in the guest is an error that names it") {
  const Ending ending = run_cli({"--quiet", "--", "no-such-program"});
  INFO(ending.err);
  CHECK(ending.code == 1);
  CHECK(ending.out.empty());
  CHECK(count_lines(ending.err) == 1);
  CHECK(ending.err.find("no-such-program") != std::string::npos);
  CHECK(run_cli({"--quiet", "--exec", "no-such-program"}).code == 127);
}

TEST_CASE("the host's root as root runs the host's programs and keeps the host unchanged") {
  const std::string name = "/tmp/vmette-cli-test-" + std::to_string(::getpid());
  const Ending ending = run_cli({"--quiet", "--rootfs", "/", "--exec",
                                 "echo x > " + name + " && cat " + name + " && uname -s"});
  INFO(ending.err);
  CHECK(ending.code == 0);
  CHECK(ending.out == "x\nLinux\n");
  CHECK(::access(name.c_str(), F_OK) != 0);
}

TEST_CASE("root in the guest cannot write to the root directory's share past the writable layer") {
  const std::string name = "/tmp/vmette-cli-escape-" + std::to_string(::getpid());
  const Ending ending = run_cli(
      {"--quiet", "--rootfs", "/", "--exec",
       "mkdir /run/share && mount -t 9p -o trans=virtio,version=9p2000.L rootfs /run/share && "
       "touch /run/share" +
           name +
           " && exit 1; "
           "for where in $(awk '/ 9p / { print $2 }' /proc/1/mounts); do "
           "nsenter -t 1 -m -r /bin/busybox sh -c \"mount -o remount,rw $where; touch $where" +
           name + "\" && exit 1; done; exit 0"});
  INFO(ending.err);
  CHECK(ending.code == 0);
  CHECK(::access(name.c_str(), F_OK) != 0);
}

TEST_CASE("the host's python runs in the guest") {
  if (::access("/usr/bin/python3", X_OK) != 0) return;
  const Ending ending = run_cli({"--rootfs", "/", "--", "python3", "-c", "print(2**32)"});
  INFO(ending.err);
  CHECK(ending.code == 0);
  CHECK(ending.out == "4294967296\n");
}

TEST_CASE("a read-only root refuses writes and keeps the exit code") {
  const Ending ending = run_cli({"--quiet", "--rootfs", "/", "--rootfs-ro", "--exec",
                                 "echo x > /etc/vmette-cli-test && exit 1; exit 42"});
  INFO(ending.err);
  CHECK(ending.code == 42);
  CHECK(::access("/etc/vmette-cli-test", F_OK) != 0);
}

TEST_CASE("a switched root runs the command as the real root and keeps the exit code") {
  const Ending ending =
      run_cli({"--quiet", "--rootfs", "/", "--switch-root", "--exec", "uname -s; exit 42"});
  INFO(ending.err);
  CHECK(ending.out == "Linux\n");
  CHECK(ending.code == 42);
}

TEST_CASE("disks by id and position, and a scratch disk, are there as the options say") {
  const TempDir dir;
  const std::string data = dir.write("data=1.img", std::string(4096, 'd'));
  const std::string other = dir.write("other", std::string(4096, 'o'));
  const Ending ending =
      run_cli({"--quiet", "--disk", "box=" + data, "--disk-ro", other, "--scratch", "2G", "--exec",
               "head -c 2 /dev/disk/by-id/virtio-box; head -c 2 /dev/vmette/disk1; printf x "
               ">/dev/vmette/disk0; "
               "printf x >/dev/vmette/disk1 || echo no; [ $(df -m / | tail -1 | awk '{print $2}') "
               "-gt 1500 ]"});
  INFO(ending.err);
  CHECK(ending.code == 0);
  CHECK(ending.out == "ddoono\n");
}

TEST_CASE("a kernel that is missing or none ends with one line that names it") {
  for (const std::string path : {"/no/such/kernel", "/etc/passwd"}) {
    const Ending ending = run_cli({"--quiet", "--kernel", path, "--exec", "true"});
    INFO(ending.err);
    CHECK(ending.code == 1);
    CHECK(ending.out.empty());
    CHECK(ending.err.rfind("vmette: error: ", 0) == 0);
    CHECK(ending.err.find(path) != std::string::npos);
  }
}

TEST_CASE("a boot that panics ends with the stage, the time and the console's last lines") {
  const Ending ending = run_cli({"--quiet", "--initramfs", "/etc/passwd", "--exec", "true"});
  INFO(ending.err);
  CHECK(ending.code == 1);
  CHECK(ending.err.rfind("vmette: error: ", 0) == 0);
  CHECK(ending.err.find("stage ") != std::string::npos);
  CHECK(ending.err.find(" ms\n") != std::string::npos);
  CHECK(ending.err.find("  | ") != std::string::npos);
  CHECK(ending.err.find("panic") != std::string::npos);
  CHECK(count_lines(ending.err) < 30);
}

TEST_CASE("SIGTERM, SIGINT and SIGHUP end the machine with 128 and the signal's number") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Program program(cli({"--quiet", "--exec", "echo up; sleep 600"}));
    REQUIRE(program.wait_for("up\n"));
    program.signal(number);
    const Ending ending = program.wait();
    INFO(ending.err);
    CHECK_FALSE(ending.timed_out);
    CHECK(ending.code == 128 + number);
  }
}

TEST_CASE("a reader that goes away ends the command instead of hanging it") {
  Program program(cli({"--quiet", "--exec", "yes"}));
  REQUIRE(program.wait_for("y\n"));
  program.close_output();
  CHECK_FALSE(program.wait().timed_out);
}

TEST_CASE("quickstart boots a machine and shows output, timeline and time") {
  const Ending ending = run_cli({"quickstart"});
  INFO(ending.err);
  CHECK(ending.code == 0);
  CHECK(ending.err.empty());
  for (const std::string text :
       {"Hello from Linux", "helper spawned", "hypervisor started", "kernel up", "agent hello",
        "root ready", "command started", "It works"}) {
    INFO(text);
    CHECK(ending.out.find(text) != std::string::npos);
  }
}

TEST_CASE("quickstart without boot assets says what is missing and fails") {
  vmette_test::ProgramOptions options;
  options.env = {{"VMETTE_ASSETS_DIR", "/no/such/assets"}};
  const Ending ending = run_cli({"quickstart"}, {}, options);
  CHECK(ending.code == 1);
  CHECK(count_lines(ending.err) == 1);
  CHECK(ending.err.find("/no/such/assets") != std::string::npos);
}
