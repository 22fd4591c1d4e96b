// A QEMU that goes on from a snapshot's files without vmette: the floor of a resume.
#pragma once

#include <string>
#include <vmette.hpp>

namespace vmette::bench {

// Seconds from before QEMU's start to the first byte of the same command that the other side runs,
// asked for in one round trip.
double raw_resume(const vmette::Snapshot& snapshot);

}  // namespace vmette::bench
