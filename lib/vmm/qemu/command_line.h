#pragma once

#include <string>
#include <vector>

#include "vmm/machine.h"

namespace vmette::vmm {

// Descriptors that QEMU finds open beside stdin, stdout and stderr.
inline constexpr int kQmpFd = 3;      // socket: QMP
inline constexpr int kControlFd = 4;  // socket: the virtio-serial port vmette.control
inline constexpr int kConsoleFd = 5;  // pipe: what the first serial port prints

// QEMU's argv for the machine. `accel` is what was chosen, `cmdline` the whole kernel command line.
// The machine must be valid. Looks at the disks only to tell block devices from files.
std::vector<std::string> qemu_argv(const Machine& machine, const std::string& program, Accel accel,
                                   const std::string& cmdline);

}  // namespace vmette::vmm
