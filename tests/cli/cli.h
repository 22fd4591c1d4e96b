#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/program.h"

namespace vmette_test {

// The command line of the built tool with these arguments.
inline std::vector<std::string> cli(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), VMETTE_TEST_CLI);
  return arguments;
}

inline Ending run_cli(std::vector<std::string> arguments, std::string_view input = {},
                      const ProgramOptions& options = {}) {
  return run_program(cli(std::move(arguments)), input, options);
}

inline std::size_t count_lines(std::string_view text) {
  std::size_t lines = 0;
  for (const char c : text) lines += c == '\n' ? 1 : 0;
  return lines;
}

}  // namespace vmette_test
