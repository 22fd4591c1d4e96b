// What a command is started with: its environment and the paths to try. No I/O.
#pragma once

#include <string>
#include <vector>

#include "accounts.h"
#include "wire/messages.h"

namespace vmette::agent {

inline constexpr const char* kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Everything execve needs, as strings that outlive the child's start.
struct Launch {
  std::vector<std::string> candidates;  // programs to try in turn
  std::vector<std::string> argv;
  std::vector<std::string> env;  // KEY=VALUE
  bool searched = false;         // argv[0] was looked up in PATH
};

// The base environment with the request's on top, later entries winning; then, where not given,
// PATH, HOME, USER, LOGNAME and SHELL. With `clear_env` exactly what the request gives. A terminal
// always has a TERM.
std::vector<std::string> build_environment(const wire::EnvList& base, const wire::Exec& request,
                                           const Account& account);

// Fills `launch`; returns what is wrong with the request, empty when nothing is. Strings with a NUL
// and keys with '=' or nothing in them cannot be passed on.
std::string build_launch(const wire::EnvList& base, const wire::Exec& request,
                         const Account& account, Launch& launch);

}  // namespace vmette::agent
