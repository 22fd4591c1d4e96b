#pragma once

#include <string>

#include "vmm/machine.h"

namespace vmette::vmm {

// The path of the QEMU to run: `wanted` when it is not empty, else VMETTE_QEMU, else
// qemu-system-<arch> in PATH. A name without a slash is looked up in PATH. Throws Failure
// not_found, which says what was looked for and which package has it.
std::string find_qemu(const std::string& wanted, Arch arch);

// A regular file that this user may execute; else errno says why not.
bool is_program(const std::string& path);
// The first program of that name in the absolute folders of PATH; empty when there is none.
std::string find_in_path(const std::string& name);

// "7.2.22" from the first line that `qemu --version` prints, or empty.
std::string parse_version(const std::string& output);

}  // namespace vmette::vmm
