#pragma once

#include "base/unique_fd.h"
#include "vmm/machine.h"

namespace vmette::vmm {

// The files of a snapshot that a machine goes on from, open for reading.
struct SnapshotSource {
  UniqueFd ram;
  UniqueFd devices;
};

// Of Machine::restore. Throws Failure bad_snapshot, naming the file that is missing or not what it
// should be.
SnapshotSource open_snapshot(const Machine& machine);

// An empty file in memory for the machine's RAM. Throws Failure hypervisor.
UniqueFd make_ram(uint32_t memory_mib);

// A directory that is empty and stays so: it has no name any more. Throws Failure hypervisor.
UniqueFd make_empty_directory();

}  // namespace vmette::vmm
