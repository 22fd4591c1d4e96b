#include "launch.h"

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.h"

using namespace vmette::agent;
using vmette::wire::EnvList;
using vmette::wire::Exec;
using Strings = std::vector<std::string>;

namespace {

Exec command(Strings argv) {
  Exec request;
  request.argv = std::move(argv);
  return request;
}

Strings environment(const EnvList& base, const Exec& request) {
  return build_environment(base, request, root_account());
}

bool has(const Strings& list, const std::string& entry) {
  return std::find(list.begin(), list.end(), entry) != list.end();
}

Launch launch_of(const Exec& request, const EnvList& base = {}) {
  Launch launch;
  CHECK(build_launch(base, request, root_account(), launch).empty());
  return launch;
}

std::string refusal(const Exec& request) {
  Launch launch;
  return build_launch({}, request, root_account(), launch);
}

}  // namespace

TEST_CASE("later environment entries win and the base comes first") {
  Exec request = command({"env"});
  request.env = {{"B", "2"}, {"A", "3"}, {"B", "4"}};
  const Strings env = environment({{"A", "1"}, {"PATH", "/x"}}, request);
  CHECK(env[0] == "A=3");
  CHECK(env[1] == "PATH=/x");
  CHECK(env[2] == "B=4");
}

TEST_CASE("what a login would set is set unless it is given") {
  const Strings env = environment({{"HOME", "/elsewhere"}}, command({"env"}));
  CHECK(has(env, "HOME=/elsewhere"));
  CHECK(has(env, "USER=root"));
  CHECK(has(env, "LOGNAME=root"));
  CHECK(has(env, "SHELL=/bin/sh"));
  CHECK(has(env, std::string("PATH=") + kDefaultPath));
  CHECK(env.size() == 5);
}

TEST_CASE("a cleared environment holds exactly what is given") {
  Exec request = command({"env"});
  request.clear_env = true;
  request.env = {{"A", ""}};
  CHECK(environment({{"B", "2"}}, request) == Strings{"A="});
}

TEST_CASE("a terminal has a TERM, the one asked for if there is one") {
  Exec request = command({"env"});
  request.clear_env = true;
  request.tty.emplace();
  CHECK(environment({}, request) == Strings{"TERM=xterm-256color"});
  request.env = {{"TERM", "dumb"}};
  CHECK(environment({}, request) == Strings{"TERM=dumb"});
  request.term = "vt100";
  CHECK(environment({}, request) == Strings{"TERM=vt100"});
}

TEST_CASE("a program without a slash is searched in the command's own PATH") {
  Exec request = command({"tool", "-x"});
  request.env = {{"PATH", "/a::/b/"}};
  const Launch launch = launch_of(request);
  CHECK(launch.candidates == Strings{"/a/tool", "./tool", "/b//tool"});
  CHECK(launch.argv == Strings{"tool", "-x"});
  CHECK(launch.searched);
}

TEST_CASE("without a PATH the default one is searched") {
  Exec request = command({"tool"});
  request.clear_env = true;
  CHECK(launch_of(request).candidates.front() == "/usr/local/sbin/tool");
}

TEST_CASE("a program with a slash or without a name is not searched") {
  CHECK(launch_of(command({"./tool"})).candidates == Strings{"./tool"});
  CHECK(launch_of(command({""})).candidates == Strings{""});
  CHECK_FALSE(launch_of(command({"/bin/tool"})).searched);
}

TEST_CASE("a shell line goes to /bin/sh -c as it is") {
  Exec request = command({"echo 'a b' | cat"});
  request.shell = true;
  const Launch launch = launch_of(request);
  CHECK(launch.candidates == Strings{"/bin/sh"});
  CHECK(launch.argv == Strings{"/bin/sh", "-c", "echo 'a b' | cat"});
}

TEST_CASE("strings that execve would cut short are refused") {
  CHECK(refusal(command({"a", std::string("b\0c", 3)})) == "an argument contains a NUL byte");
  Exec request = command({"a"});
  request.env = {{"KEY", std::string("v\0", 2)}};
  CHECK(refusal(request) == "environment variable \"KEY\" contains a NUL byte");
  request.env = {{"A=B", "v"}};
  CHECK(refusal(request) == "environment key \"A=B\" is empty or contains '='");
  request.env = {{"", "v"}};
  CHECK(refusal(request) == "environment key \"\" is empty or contains '='");
  request.env.clear();
  request.cwd = std::string("/\0", 2);
  CHECK(refusal(request) == "cwd, user or term contains a NUL byte");
}
