// Pseudo-terminals.
#pragma once

#include "base/unique_fd.h"
#include "wire/messages.h"

namespace vmette::agent {

struct Terminal {
  UniqueFd master;  // non-blocking
  UniqueFd slave;
  int error = 0;  // an errno when there is none
};

// Opens one in the /dev/pts below `root` (a directory descriptor), so that programs in that root
// find their terminal's name. It belongs to `uid`.
Terminal open_terminal(int root, uid_t uid, const wire::WindowSize& size);

// How it begins; a program may change that. 0 or an errno.
int set_terminal_modes(int slave, bool echo, bool raw);

void resize_terminal(int master, const wire::WindowSize& size);

// The process group in the foreground, 0 for none.
pid_t foreground_group(int master);

}  // namespace vmette::agent
