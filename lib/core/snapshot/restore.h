// A configuration that resumes a snapshot, made whole from what the snapshot says.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/assets.h"
#include "core/config.h"
#include "core/error.h"
#include "core/snapshot/manifest.h"

namespace vmette::core {

// The snapshot that a machine starts from.
struct Restore {
  std::string directory;  // absolute
  SnapshotManifest manifest;
};

// Device names of the shares that a resume may add, counted from 0.
std::string reserved_device(size_t index);
// How many of the shares have such a device.
size_t reserved_in_use(const std::vector<Share>& shares);

// Opens the snapshot: it is whole, and its lower images are what they were.
Result<Restore> open_restore(const std::string& path);

// The configuration with the machine of the snapshot. kRestoreFailed names what differs.
Result<Config> restored_config(Config config, const Restore& restore);

// What the helper's answer to `create` says of the hypervisor.
Result<MachineIdentity> identity_from(const nlohmann::json& answer);

// Hypervisor and boot files are those of the snapshot.
Result<void> check_host(const Restore& restore, const MachineIdentity& identity,
                        const BootFiles& files);

// The manifest's entry of a kernel or initramfs of the configuration's machine.
Result<void> describe_boot_files(const BootFiles& files, SnapshotManifest& manifest);

}  // namespace vmette::core
