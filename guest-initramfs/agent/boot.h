// From the kernel's hand-over to an open control port.
#pragma once

#include "base/unique_fd.h"
#include "modules.h"
#include "uevents.h"

namespace vmette::agent {

// Mounts /proc, /sys and /dev, makes sure that descriptors 0 to 2 are open, and keeps the
// out-of-memory killer away from PID 1.
void prepare_process();

// Loads what a virtio-serial port needs and opens the port `vmette.control`. Throws SetupError.
UniqueFd open_control_port(Modules& modules, Uevents& devices);

}  // namespace vmette::agent
