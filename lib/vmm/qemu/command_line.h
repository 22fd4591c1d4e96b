#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vmm/machine.h"

namespace vmette::vmm {

// The names of QEMU's block nodes, which its events tell: disk0, disk1 ... and this one.
inline constexpr const char* kScratchNode = "scratch";
std::string disk_node(size_t index);

// Descriptors that QEMU finds open beside stdin, stdout and stderr.
inline constexpr int kQmpFd = 3;      // socket: QMP
inline constexpr int kControlFd = 4;  // socket: the virtio-serial port vmette.control
inline constexpr int kConsoleFd = 5;  // pipe: what the first serial port prints
// From 6 on: a socket to each share's virtiofsd, then the scratch disk.
struct PassedFds {
  std::vector<int> shares;  // in their order, -1 for 9p; empty: 9p for all
  int scratch = -1;         // with Machine::scratch only
};

// QEMU's argv for the machine. `accel` is what was chosen, `cmdline` the whole kernel command line,
// `fds` are numbers in QEMU. The machine must be valid. Looks at the disks only to tell block
// devices from files.
std::vector<std::string> qemu_argv(const Machine& machine, const std::string& program, Accel accel,
                                   const std::string& cmdline, const PassedFds& fds = {});

}  // namespace vmette::vmm
