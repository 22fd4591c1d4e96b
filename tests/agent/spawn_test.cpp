#include "spawn.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "support/catch.h"

using namespace vmette;
using namespace vmette::agent;

namespace {

// Runs a program as the caller's own user and returns what it printed.
struct Run {
  explicit Run(Launch what, const char* cwd = "/") : launch(std::move(what)) {
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    UniqueFd out(fds[0]);
    UniqueFd in(fds[1]);
    const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    Account account;
    account.uid = getuid();
    account.gid = getgid();
    SpawnRequest request;
    request.launch = &launch;
    request.account = &account;
    request.cwd = cwd;
    request.fds[0] = request.fds[2] = null.get();
    request.fds[1] = in.get();
    result = spawn(request);
    in.reset();
    char buffer[4096];
    for (ssize_t got = 0; (got = read(out.get(), buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(got));
    if (result.pid > 0) waitpid(result.pid, &status, 0);
  }

  Launch launch;
  SpawnResult result;
  std::string text;
  int status = -1;
};

Launch program(std::vector<std::string> argv, std::vector<std::string> candidates) {
  Launch launch;
  launch.argv = std::move(argv);
  launch.candidates = std::move(candidates);
  launch.env = {"ONLY=this"};
  return launch;
}

bool may_set_groups() {
  return getuid() == 0;
}

}  // namespace

TEST_CASE("a spawned program has its argv, its environment, its cwd and three descriptors") {
  if (!may_set_groups()) return;
  const UniqueFd stray(open("/dev/null", O_RDONLY));
  const Run run(program({"sh", "-c", "echo $0 $ONLY $(pwd); ls /proc/self/fd | wc -l", "x"},
                        {"/nowhere/sh", "/bin/sh"}),
                "/usr");
  REQUIRE(run.result.pid > 0);
  // ls itself opens the fourth.
  CHECK(run.text == "x this /usr\n4\n");
  CHECK(run.status == 0);
}

TEST_CASE("a spawned program leads a session of its own") {
  if (!may_set_groups()) return;
  const Run run(program({"sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat"}, {"/bin/sh"}));
  const std::string pid = std::to_string(run.result.pid);
  CHECK(run.text == pid + " " + pid + " " + pid + "\n");
}

TEST_CASE("a program that cannot be started is reported with stage and errno") {
  if (!may_set_groups()) return;
  const Run missing(program({"x"}, {"/nowhere/x", "/etc/passwd/x"}));
  CHECK(missing.result.pid < 0);
  CHECK(missing.result.stage == SpawnStage::kExec);
  CHECK(missing.result.error == ENOENT);
  // As with execvp, a file that may not be run counts only when nothing else is found.
  const Run forbidden(program({"x"}, {"/etc/passwd", "/nowhere/x"}));
  CHECK(forbidden.result.error == EACCES);
  const Run second(program({"true"}, {"/etc/passwd", "/bin/true"}));
  CHECK(second.result.pid > 0);
  const Run place(program({"true"}, {"/bin/true"}), "/nowhere");
  CHECK(place.result.stage == SpawnStage::kCwd);
  CHECK(place.result.error == ENOENT);
  // None of them is left behind as a zombie.
  CHECK(waitpid(-1, nullptr, WNOHANG) < 0);
}
