// Paths of the commands' root, as the agent uses them from outside: links, ".." and absolute
// targets never lead out of it. Magic links of /proc are not followed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace vmette::agent {

// As openat2 does, O_CLOEXEC, O_NOCTTY and O_NONBLOCK added. Invalid with errno set.
UniqueFd open_in_root(int root, const std::string& path, int flags, mode_t mode = 0);

// Where a path's last component is, or would be.
struct Place {
  UniqueFd directory;  // O_PATH
  std::string name;
  int error = 0;  // an errno; then the rest is empty
};

// EBUSY for the root itself, EINVAL for a path that ends in "." or "..".
Place place_of(int root, const std::string& path);

// Makes the directories above the last component that are missing, 0755. 0 or an errno.
int make_parents(int root, const std::string& path);

}  // namespace vmette::agent
