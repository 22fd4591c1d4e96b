// What is mounted where, as the kernel's table says.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace vmette::agent {

struct MountEntry {
  int id = 0;
  int parent = 0;
  dev_t device = 0;
  std::string point;  // in the reader's root
  std::string type;
  std::string source;
};

// The text of /proc/<pid>/mountinfo; malformed lines are left out. Pure.
std::vector<MountEntry> parse_mount_table(std::string_view text);

// That of a process ("self" or a number), seen through a /proc directory descriptor; empty when it
// cannot be read.
std::vector<MountEntry> mount_table(int proc, const std::string& process);

}  // namespace vmette::agent
