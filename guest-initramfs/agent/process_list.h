// The process table.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace vmette::agent {

struct ProcessEntry {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t session = 0;
};

// One line of /proc/<pid>/stat; a pid of 0 when it is malformed. Pure.
ProcessEntry parse_process(std::string_view stat);

// What an error says about a process or thread.
struct ProcessState {
  std::string name;
  char state = '?';  // as ps shows it
  bool kernel_thread = false;
};

// From the same line. Pure.
ProcessState parse_process_state(std::string_view stat);

// `leader`, its descendants and what is in its session. What left the session and lost its parents
// is not found. Pure.
std::vector<pid_t> tree_of(const std::vector<ProcessEntry>& all, pid_t leader);

// All processes, seen through a /proc directory descriptor.
std::vector<ProcessEntry> list_processes(int proc);

}  // namespace vmette::agent
