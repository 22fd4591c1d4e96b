#pragma once

#include <cstddef>
#include <cstdint>
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
// From 6 on, as they are needed; -1 for none.
struct PassedFds {
  std::vector<int> shares;  // sockets to virtiofsd, in the shares' order, -1 for 9p; empty: all 9p
  int scratch = -1;         // with Machine::scratch only
  std::vector<int> disks = {};  // files to use in place of the disks' paths; empty: none
  int ram = -1;                 // a file that is the memory
  int empty_directory = -1;     // of reserved shares
};

// How QEMU begins, beside what the machine says.
struct Beginning {
  bool private_ram = false;  // the file of the memory is not changed: written pages become copies
  bool incoming = false;     // with a state that is still to come, not at the first instruction
  // Not empty: nothing is on the disks, which have these sizes in bytes; last the scratch disk's.
  std::vector<uint64_t> stand_ins;
};

// What `-cpu` says.
const char* cpu_model(Arch arch, Accel accel);

// QEMU's argv for the machine. `accel` is what was chosen, `cmdline` the whole kernel command line,
// `fds` are numbers in QEMU. The machine must be valid. Looks at the disks only to tell block
// devices from files.
std::vector<std::string> qemu_argv(const Machine& machine, const std::string& program, Accel accel,
                                   const std::string& cmdline, const PassedFds& fds = {},
                                   const Beginning& beginning = {});

}  // namespace vmette::vmm
