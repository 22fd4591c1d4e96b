#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "vmm/qemu/child.h"

namespace vmette::vmm {

// What a short-lived program left behind.
struct ToolEnd {
  bool in_time = false;  // false: it was killed at its deadline
  int status = 0;        // of wait(), when in time
  std::string output;    // the first 4 KiB of what it printed
};

// Runs a program to its end and keeps what it prints to stdout and stderr. Blocks: for programs
// that take milliseconds. Throws std::system_error when it cannot be started.
ToolEnd run_tool(ChildPlan plan, std::chrono::milliseconds most);

// The last line of a program's words, without its end.
std::string last_line(std::string text);

}  // namespace vmette::vmm
