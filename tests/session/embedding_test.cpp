// Whole host programs: what they keep while they run machines, and what is left when they die.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "session/machine.h"
#include "support/program.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette_test::children_of;
using vmette_test::contains;
using vmette_test::Ending;
using vmette_test::eventually;
using vmette_test::helpers_marked;
using vmette_test::Program;
using vmette_test::ProgramOptions;
using vmette_test::run_program;
using vmette_test::TempDir;
using vmette_test::Watched;

namespace {

// Time that a dead host program's machine has.
constexpr std::chrono::milliseconds kOrphanLimit{2000};

std::vector<std::string> run_line(const char* line) {
  return {VMETTE_TEST_RUN_LINE, line};
}

// A host program with one machine, its temporary files in a folder of the test's.
struct Host {
  TempDir temp;
  Program program;
  std::vector<Watched> parts;  // helper and hypervisor

  explicit Host(const char* mode) : program({VMETTE_TEST_HOLDER, mode}, options()) {
    REQUIRE(program.wait_for("ready", vmette_test::kDeadline));
    REQUIRE(eventually([&] { return !helpers().empty(); }));
    parts = helpers();
    REQUIRE(parts.size() == 1);
    std::vector<Watched> hypervisors;
    REQUIRE(eventually([&] { return !(hypervisors = children_of(parts[0].pid())).empty(); }));
    for (Watched& hypervisor : hypervisors) parts.push_back(std::move(hypervisor));
  }

  [[nodiscard]] ProgramOptions options() const {
    ProgramOptions made;
    made.env = {{"TMPDIR", temp.path()}, {"VMETTE_TEST_HOST", temp.path()}};
    return made;
  }
  [[nodiscard]] std::vector<Watched> helpers() const {
    return helpers_marked("VMETTE_TEST_HOST", temp.path());
  }
  void expect_gone() const {
    for (const Watched& part : parts) CHECK(part.wait_end(kOrphanLimit));
    CHECK(helpers().empty());
    CHECK(std::filesystem::is_empty(temp.path()));
  }
};

// Files with a name in a place for temporary files.
std::vector<std::string> temporary_files(pid_t pid) {
  std::vector<std::string> found;
  for (const std::string& target : vmette_test::open_files(pid))
    for (const char* place : {"/tmp/", "/var/tmp/", "/dev/shm/", "/run/", "/var/run/"})
      if (target.rfind(place, 0) == 0 && !contains(target, "(deleted)")) found.push_back(target);
  return found;
}

}  // namespace

TEST_CASE("stdin, stdout, stderr and the exit code pass through run()") {
  const Ending ending = run_program(run_line("cat; echo err >&2; exit 5"), "some input\n");
  CHECK(ending.code == 5);
  CHECK(ending.out == "some input\n");
  CHECK(ending.err == "err\nhandler: back\n");
}

TEST_CASE("run() puts the caller's handlers back after every kind of end") {
  for (const auto& [line, code] :
       {std::pair{"true", 0}, std::pair{"kill -KILL $$", 137}, std::pair{"no-such-program", 127}}) {
    const Ending ending = run_program(run_line(line));
    INFO(line << ": " << ending.err);
    CHECK(ending.code == code);
    CHECK(contains(ending.err, "handler: back"));
  }
}

TEST_CASE("a signal stops run(), gives 128 and its number, and is not the caller's afterwards") {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    Program program(run_line("echo begun; sleep 1000"));
    REQUIRE(program.wait_for("begun"));
    program.signal(number);
    const Ending ending = program.wait();
    INFO(ending.err);
    CHECK_FALSE(ending.timed_out);
    CHECK(ending.code == 128 + number);
    CHECK(contains(ending.err, "handler: back"));
  }
}

TEST_CASE("run() that is told to stop before it has a machine stops") {
  const Ending ending = run_program({VMETTE_TEST_RUN_LINE, "sleep 1000", "early"});
  INFO(ending.err);
  CHECK_FALSE(ending.timed_out);
  CHECK(ending.code == 128 + SIGTERM);
  CHECK(contains(ending.err, "handler: back"));
}

TEST_CASE("a host program keeps its handlers, its children and its threads") {
  Program program({VMETTE_TEST_EMBEDDER});
  REQUIRE(program.wait_for("first machine"));
  program.signal(SIGINT);
  const Ending ending = program.wait(vmette_test::kDeadline);
  CHECK_FALSE(ending.timed_out);
  CHECK(contains(ending.out,
                 "machines ran, interrupts 1, handlers kept, own children all collected, "
                 "strangers 0, threads worked"));
}

TEST_CASE("a host program that is killed leaves no process and no file") {
  for (const char* mode : {"ready", "booting"}) {
    INFO(mode);
    Host host(mode);
    for (const Watched& part : host.parts) CHECK(temporary_files(part.pid()).empty());
    CHECK(temporary_files(host.program.pid()).empty());
    host.program.signal(SIGKILL);
    CHECK(host.program.wait().code == 128 + SIGKILL);
    host.expect_gone();
  }
}

TEST_CASE("a child of a killed host program cannot keep its machine alive") {
  Host host("forked");
  host.program.signal(SIGKILL);
  host.expect_gone();
}

TEST_CASE("a host program that is killed with its helper leaves no hypervisor") {
  Host host("ready");
  host.program.signal(SIGSTOP);
  host.parts[0].signal(SIGKILL);
  host.program.signal(SIGKILL);
  host.expect_gone();
}
