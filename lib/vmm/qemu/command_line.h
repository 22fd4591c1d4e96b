#pragma once

#include <string>
#include <vector>

#include "vmm/machine.h"

namespace vmette::vmm {

// Descriptors that QEMU finds open beside stdin, stdout and stderr.
inline constexpr int kQmpFd = 3;      // socket: QMP
inline constexpr int kControlFd = 4;  // socket: the virtio-serial port vmette.control
inline constexpr int kConsoleFd = 5;  // pipe: what the first serial port prints
// From 6 on: sockets, one to each share's virtiofsd.

// QEMU's argv for the machine. `accel` is what was chosen, `cmdline` the whole kernel command line,
// `share_fds` has QEMU's descriptor of each share's virtiofsd, -1 for 9p; empty means 9p for all.
// The machine must be valid. Looks at the disks only to tell block devices from files.
std::vector<std::string> qemu_argv(const Machine& machine, const std::string& program, Accel accel,
                                   const std::string& cmdline,
                                   const std::vector<int>& share_fds = {});

}  // namespace vmette::vmm
