// Host programs that fork without exec.
#include <signal.h>

#include <algorithm>
#include <string>

#include "session/machine.h"
#include "support/program.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette_test::contains;
using vmette_test::eventually;
using vmette_test::helpers_marked;
using vmette_test::kDeadline;
using vmette_test::open_files;
using vmette_test::Program;
using vmette_test::ProgramOptions;
using vmette_test::TempDir;

namespace {

// A host program whose helpers are known by a variable in their environment.
struct Host {
  TempDir temp;
  Program program;

  explicit Host(const char* mode) : program({VMETTE_TEST_FORKER, mode}, options()) {
    const bool done = program.wait_for("done", kDeadline);
    INFO(program.out());
    INFO(program.err());
    REQUIRE(done);
  }
  [[nodiscard]] ProgramOptions options() const {
    ProgramOptions made;
    made.env = {{"VMETTE_TEST_HOST", temp.path()}};
    return made;
  }
  [[nodiscard]] bool has_helpers() const {
    return !helpers_marked("VMETTE_TEST_HOST", temp.path()).empty();
  }
};

// Descriptors that lead to something without a name in the file system, the three of stdio left
// out.
std::vector<std::string> unnamed_files(pid_t pid) {
  std::vector<std::string> found;
  for (const std::string& target : open_files(pid))
    for (const char* kind : {"socket:", "anon_inode:[eventfd]", "anon_inode:[pidfd]", "pipe:"})
      if (target.rfind(kind, 0) == 0) found.push_back(target);
  return found;
}

}  // namespace

TEST_CASE("in a child of fork() every call on a handle fails clearly and every handle can go") {
  Host host("handles");
  CHECK(host.program.wait().code == 0);
  CHECK_FALSE(host.has_helpers());
}

TEST_CASE("a child of fork() starts machines of its own, and so does its child") {
  Host host("fresh");
  CHECK(host.program.wait().code == 0);
  CHECK_FALSE(host.has_helpers());
}

TEST_CASE("a child of fork() keeps nobody waiting and no machine alive") {
  Host host("quiet");
  // The parent and its child live, the machine is gone.
  CHECK(eventually([&] { return !host.has_helpers(); }));
  const std::string& out = host.program.out();
  const size_t at = out.find("child ");
  REQUIRE(at != std::string::npos);
  const pid_t child = std::stoi(out.substr(at + 6));
  CHECK(::kill(child, 0) == 0);
  // stdin, stdout and stderr, and the event loop's own.
  const auto files = unnamed_files(child);
  INFO([&] {
    std::string text;
    for (const std::string& file : files) text += file + "\n";
    return text;
  }());
  CHECK(std::count_if(files.begin(), files.end(),
                      [](const auto& file) { return contains(file, "pipe:"); }) == 3);
  CHECK(std::count_if(files.begin(), files.end(),
                      [](const auto& file) { return contains(file, "socket:"); }) == 0);
  CHECK(files.size() <= 5);
}
