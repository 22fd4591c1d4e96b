// What a configuration means for its two readers: the helper that makes the machine, and the agent
// that sets it up.
#pragma once

#include <set>
#include <string>

#include "core/assets.h"
#include "core/config.h"
#include "core/snapshot/restore.h"
#include "vmm/machine.h"
#include "wire/messages.h"

namespace vmette::core {

// The machine that this process asks a helper for. The configuration must be valid, its paths
// absolute. `restore`: the snapshot that it starts from; null: it boots.
vmm::Machine machine_for(const Config& config, const BootFiles& files, const Restore* restore);

// What the agent makes of the devices. `virtiofs_tags` are the shares that go over virtio-fs.
wire::Setup setup_for(const Config& config, const std::set<std::string>& virtiofs_tags);

}  // namespace vmette::core
