// How a command is started: bytes kept true, limits of Linux, users, directories, refusals.
#include <cerrno>
#include <string>
#include <vector>

#include "machine.h"
#include "support/catch.h"

namespace vmette_test {

using vmette::ErrorCode;
using vmette::Exec;

TEST_CASE("Bytes that are no text arrive in argv, environment, cwd and output as they are") {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  const std::string name =
      "/tmp/\xff\xfe\x80"
      "dir";
  CHECK(sh("mkdir -p \"$(printf '/tmp/\\377\\376\\200dir')\"").code == 0);

  Exec argv(std::vector<std::string>{"/bin/printf", "%s", all});
  CHECK(run(machine(), argv).out == all);

  Exec env("printf %s \"$ODD\"");
  env.add_env("ODD", all);
  CHECK(run(machine(), env).out == all);

  Exec cwd(std::vector<std::string>{"/bin/pwd"});
  cwd.set_cwd(name);
  CHECK(run(machine(), cwd).out == name + "\n");
}

TEST_CASE("An argument just below Linux's limit arrives whole, and one beyond it is E2BIG") {
  // MAX_ARG_STRLEN counts the terminating NUL.
  constexpr size_t kMost = size_t{128} * 1024 - 1;
  Exec fits(std::vector<std::string>{"/bin/sh", "-c", "printf %s \"${#1}\"", "x",
                                     std::string(kMost, 'a')});
  CHECK(run(machine(), fits).out == std::to_string(kMost));

  Exec beyond(std::vector<std::string>{"/bin/true", std::string(kMost + 1, 'a')});
  const auto error = refusal(machine(), beyond);
  CHECK(error.code() == ErrorCode::kSpawn);
  CHECK(error.errno_value() == E2BIG);
  CHECK(error.stage() == "exec");
  CHECK(sh("echo on").out == "on\n");
}

TEST_CASE("Arguments of several hundred KiB together arrive whole") {
  std::vector<std::string> argv{"/bin/sh", "-c", "echo $#", "x"};
  for (int i = 0; i < 10; ++i) argv.emplace_back(50'000, 'b');
  CHECK(run(machine(), Exec(argv)).out == "10\n");
}

TEST_CASE("An argument with a NUL inside is an error and starts nothing") {
  Exec exec(std::vector<std::string>{"/bin/true", std::string("a\0b", 3)});
  const auto process = machine().exec(exec);
  REQUIRE(!process);
  CHECK(process.error().code() == ErrorCode::kInvalidArgument);
}

TEST_CASE("A command that cannot be started says at which stage and with which errno") {
  struct Case {
    const char* what;
    Exec exec;
    const char* stage;
    int errno_value;
  };
  CHECK(sh("printf x > /tmp/plain; mkdir -p /tmp/closed; chmod 700 /tmp/closed").code == 0);
  Exec cwd("true");
  cwd.set_cwd("/nowhere");
  Exec cwd_file("true");
  cwd_file.set_cwd("/tmp/plain");
  Exec user("true");
  user.set_user("nobody-of-that-name");
  Exec closed("true");
  closed.set_user("12345").set_cwd("/tmp/closed");
  Case cases[] = {
      {"no program", Exec(std::vector<std::string>{"no-such-program"}), "exec", ENOENT},
      {"no file", Exec(std::vector<std::string>{"/no/such"}), "exec", ENOENT},
      {"not executable", Exec(std::vector<std::string>{"/tmp/plain"}), "exec", EACCES},
      {"a directory", Exec(std::vector<std::string>{"/tmp"}), "exec", EACCES},
      {"no cwd", std::move(cwd), "cwd", ENOENT},
      {"cwd is a file", std::move(cwd_file), "cwd", ENOTDIR},
      {"cwd is closed", std::move(closed), "cwd", EACCES},
      {"no user", std::move(user), "user", ENOENT},
  };
  for (Case& refused : cases) {
    INFO(refused.what);
    const auto error = refusal(machine(), refused.exec);
    CHECK(error.code() == ErrorCode::kSpawn);
    CHECK(error.stage() == refused.stage);
    CHECK(error.errno_value() == refused.errno_value);
  }
}

TEST_CASE("A command runs as the user that is asked for, by name and by number") {
  struct Case {
    const char* user;
    const char* ids;
  };
  for (const Case& who : {Case{"", "0:0"}, Case{"root", "0:0"}, Case{"1234", "1234:1234"},
                          Case{"1234:77", "1234:77"}, Case{"0:55", "0:55"}}) {
    Exec exec("echo $(id -u):$(id -g)");
    if (*who.user != '\0') exec.set_user(who.user);
    INFO(who.user);
    // A number without an entry in /etc/passwd may come with group 0 or its own.
    const std::string ids = run(machine(), exec).out;
    if (std::string(who.user) == "1234") {
      CHECK(ids.substr(0, 5) == "1234:");
    } else {
      CHECK(ids == std::string(who.ids) + "\n");
    }
  }
}

TEST_CASE("Two hundred commands at once each give their own output and exit code") {
  std::vector<vmette::Process> processes;
  for (int i = 0; i < 200; ++i) {
    Exec exec("echo " + std::to_string(i) + "; exit " + std::to_string(i % 100));
    processes.push_back(start(machine(), exec));
  }
  for (int i = 0; i < 200; ++i) {
    INFO(i);
    vmette::Process& process = processes[static_cast<size_t>(i)];
    REQUIRE(process.wait(kLong));
    CHECK(process.exit_code() == i % 100);
    const auto output = process.output();
    REQUIRE(output);
    CHECK(output.value().stdout_text() == std::to_string(i) + "\n");
  }
}

TEST_CASE("The root file system of the host takes the same bytes and the same refusals") {
  vmette::Config config;
  config.set_rootfs_share("/").set_mem_mib(384);
  vmette::Session session = boot(config);
  Exec argv(std::vector<std::string>{"/bin/echo", "\xff\x80\xfe"});
  CHECK(run(session, argv).out == "\xff\x80\xfe\n");
  Exec user("id -un; id -u; pwd");
  user.set_user("nobody").set_cwd("/tmp");
  CHECK(run(session, user).out == "nobody\n65534\n/tmp\n");
  Exec unknown("true");
  unknown.set_user("nobody-of-that-name");
  CHECK(refusal(session, unknown).stage() == "user");
}

}  // namespace vmette_test
