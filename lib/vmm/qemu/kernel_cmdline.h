#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vmm/machine.h"

namespace vmette::vmm {

// The command line that the kernel gets: the caller's base, then what the machine needs (console,
// what a panic does, under emulation the clock frequency). A parameter that the base sets is left
// to it, save that a console is added to others. Arguments for init, after `--`, stay at the end.
// `accel` is what was chosen; `tsc_khz` the host's, under emulation. Throws Failure bad_request
// when the result is longer than a kernel keeps.
std::string kernel_cmdline(const std::string& base, Arch arch, Accel accel,
                           std::optional<uint32_t> tsc_khz);

}  // namespace vmette::vmm
