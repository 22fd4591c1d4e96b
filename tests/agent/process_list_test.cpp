#include "process_list.h"

#include <algorithm>
#include <vector>

#include "support/catch.h"

using namespace vmette::agent;

TEST_CASE("a process is parsed whatever its name contains") {
  const ProcessEntry entry = parse_process("42 (a) R 1 1 ) b) S 7 40 39 34816 -1 4194304");
  CHECK(entry.pid == 42);
  CHECK(entry.parent == 7);
  CHECK(entry.session == 39);
}

TEST_CASE("a malformed process line yields no process") {
  CHECK(parse_process("").pid == 0);
  CHECK(parse_process("42 (sh").pid == 0);
  CHECK(parse_process("42 (sh)").pid == 0);
  CHECK(parse_process("x (sh) S 1 1 1").pid == 0);
}

TEST_CASE("a command's tree holds descendants and its session, not others") {
  // pid, parent, session; 12 is a child in a session of its own, 13 an orphan of session 10.
  const std::vector<ProcessEntry> all{{1, 0, 1},   {14, 12, 12}, {12, 10, 12}, {10, 1, 10},
                                      {13, 1, 10}, {20, 1, 20},  {21, 20, 20}};
  auto tree = tree_of(all, 10);
  std::sort(tree.begin(), tree.end());
  CHECK(tree == std::vector<pid_t>{10, 12, 13, 14});
}

TEST_CASE("what an error says of a process is read whatever its name contains") {
  const ProcessState state = parse_process_state("42 (a) R 1 1 ) b) D 7 40 39 34816 -1 4194304 9");
  CHECK(state.name == "a) R 1 1 ) b");
  CHECK(state.state == 'D');
  CHECK_FALSE(state.kernel_thread);
  CHECK(parse_process_state("9 (kworker/0:1) I 2 0 0 0 -1 69238880 0").kernel_thread);
  for (const char* line : {"", "42", "42 (sh", "42 sh)", ")("}) {
    CHECK(parse_process_state(line).name.empty());
    CHECK_FALSE(parse_process_state(line).kernel_thread);
  }
}
