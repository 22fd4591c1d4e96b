// What a configuration means for its two readers: the helper that makes the machine, and the agent
// that sets it up.
#pragma once

#include <set>
#include <string>

#include "core/assets.h"
#include "core/config.h"
#include "vmm/machine.h"
#include "wire/messages.h"

namespace vmette::core {

// The machine that this process asks a helper for. The configuration must be valid, its paths
// absolute.
vmm::Machine machine_for(const Config& config, const BootFiles& files);

// What the agent makes of the devices. `virtiofs_tags` are the shares that go over virtio-fs.
wire::Setup setup_for(const Config& config, const std::set<std::string>& virtiofs_tags);

}  // namespace vmette::core
