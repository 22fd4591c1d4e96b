#pragma once

#include <initializer_list>
#include <string>

#include "vmm/machine.h"

namespace vmette::vmm {

// The path of the QEMU to run: `wanted` when it is not empty, else VMETTE_QEMU, else
// qemu-system-<arch> in PATH. A name without a slash is looked up in PATH. Throws Failure
// not_found, which says what was looked for and which package has it.
std::string find_qemu(const std::string& wanted, Arch arch);

// A regular file that this user may execute; else errno says why not.
bool is_program(const std::string& path);
// What the environment variable names, else the program of that name in PATH, else the first of
// the usual paths that is one; empty when there is none. Throws Failure not_found when the variable
// names something that cannot be run.
std::string find_tool(const char* variable, const char* name,
                      std::initializer_list<const char*> usual);
// The first program of that name in the absolute folders of PATH; empty when there is none.
std::string find_in_path(const std::string& name);

// "7.2.22" from the first line that `qemu --version` prints, or empty.
std::string parse_version(const std::string& output);

}  // namespace vmette::vmm
