#include "core/machine_plan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "core/disks.h"

namespace vmette::core {
namespace {

constexpr const char* kRootTag = "rootfs";
constexpr const char* kScratchSerial = "vmette-scratch";

vmm::Accel to_vmm(Accel accel) {
  switch (accel) {
    case Accel::kHardware:
      return vmm::Accel::kKvm;
    case Accel::kEmulation:
      return vmm::Accel::kTcg;
    case Accel::kAuto:
      break;
  }
  return vmm::Accel::kAuto;
}

vmm::ShareTransport to_vmm(ShareTransport transport) {
  switch (transport) {
    case ShareTransport::kVirtiofs:
      return vmm::ShareTransport::kVirtiofs;
    case ShareTransport::k9p:
      return vmm::ShareTransport::k9p;
    case ShareTransport::kAuto:
      break;
  }
  return vmm::ShareTransport::kAuto;
}

// The name that the guest finds a share by: its tag, or, where that is longer than a device can
// report, the tag's beginning and the share's number. No caller's tag has a tilde.
std::string device_tag(const Config& config, size_t index) {
  if (!config.shares[index].device.empty()) return config.shares[index].device;
  const std::string& tag = config.shares[index].tag;
  if (tag.size() <= vmm::kMaxTagBytes) return tag;
  const std::string number = fmt::format("~{}", index);
  return tag.substr(0, vmm::kMaxTagBytes - number.size()) + number;
}

// A directory of the host as root is read-only there, and does not change while it is one.
std::vector<vmm::Share> machine_shares(const Config& config) {
  const vmm::ShareTransport transport = to_vmm(config.share_transport);
  std::vector<vmm::Share> shares;
  if (const auto* root = std::get_if<RootfsShare>(&config.rootfs))
    shares.push_back({kRootTag, root->path, true, transport, true});
  for (size_t i = 0; i < config.shares.size(); ++i) {
    const Share& share = config.shares[i];
    shares.push_back({device_tag(config, i), share.path, share.read_only, transport, false});
  }
  const size_t used = reserved_in_use(config.shares);
  for (size_t i = 0; i < config.resume_shares; ++i)
    shares.push_back({reserved_device(used + i), {}, true, transport, false});
  return shares;
}

std::vector<vmm::Disk> machine_disks(const Config& config) {
  std::vector<vmm::Disk> disks;
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs))
    disks.push_back({block->path, vmm::kRootSerial, true, {}});
  for (size_t i = 0; i < config.disks.size(); ++i) {
    const Disk& disk = config.disks[i];
    vmm::Disk one{disk.path, disk_id(config, i), disk.read_only, {}};
    if (!disk.image.empty()) {
      one.path = disk.image;
      one.copy_in = config.scratch_dir;
    }
    disks.push_back(std::move(one));
  }
  return disks;
}

wire::Root root_setup(const Config& config, const std::set<std::string>& virtiofs_tags) {
  wire::Root root;
  if (std::holds_alternative<RootfsShare>(config.rootfs)) {
    root.kind =
        virtiofs_tags.contains(kRootTag) ? wire::RootKind::kVirtiofs : wire::RootKind::kShare9p;
    root.source = kRootTag;
  } else if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs)) {
    root.kind = wire::RootKind::kBlock;
    root.source = vmm::kRootSerial;
    root.fstype = block->fstype;
  }
  if (root_is_read_only(config)) {
    root.upper = wire::UpperKind::kNone;
  } else if (config.scratch_mib != 0) {
    root.upper = wire::UpperKind::kDisk;
    root.upper_source = kScratchSerial;
  }
  return root;
}

// In an order in which no mount hides another.
std::vector<wire::ShareSetup> share_setups(const Config& config,
                                           const std::set<std::string>& virtiofs_tags) {
  std::vector<wire::ShareSetup> setups;
  for (size_t i = 0; i < config.shares.size(); ++i) {
    const Share& share = config.shares[i];
    const std::string tag = device_tag(config, i);
    setups.push_back({tag, virtiofs_tags.contains(tag), mount_point(share), share.read_only});
  }
  std::ranges::sort(setups, {}, &wire::ShareSetup::target);
  return setups;
}

std::vector<wire::DiskSetup> disk_setups(const Config& config) {
  std::vector<wire::DiskSetup> setups;
  for (size_t i = 0; i < config.disks.size(); ++i)
    setups.push_back({disk_id(config, i), config.disks[i].fstype});
  return setups;
}

}  // namespace

vmm::Machine machine_for(const Config& config, const BootFiles& files, const Restore* restore) {
  vmm::Machine machine;
  machine.version = VMETTE_VERSION;
  machine.parent_pid = getpid();
  machine.kernel = files.kernel;
  machine.initramfs = files.initramfs;
  machine.cmdline = config.cmdline;
  machine.vcpus = config.vcpus;
  machine.memory_mib = static_cast<uint32_t>(config.mem_mib);
  machine.accel = to_vmm(config.accel);
  machine.disks = machine_disks(config);
  if (config.scratch_mib != 0)
    machine.scratch = vmm::Scratch{config.scratch_dir, kScratchSerial, config.scratch_mib, {}};
  machine.snapshottable = can_be_saved(config);
  if (restore != nullptr) {
    machine.restore = restore->directory;
    machine.cmdline = restore->manifest.cmdline;
    if (machine.scratch) machine.scratch->image = restore->directory + "/" + kScratchFile;
  }
  machine.shares = machine_shares(config);
  return machine;
}

wire::Setup setup_for(const Config& config, const std::set<std::string>& virtiofs_tags) {
  wire::Setup setup;
  setup.hostname = config.hostname;
  setup.root = root_setup(config, virtiofs_tags);
  setup.shares = share_setups(config, virtiofs_tags);
  setup.disks = disk_setups(config);
  setup.env = config.image_env;
  setup.env.insert(setup.env.end(), config.env.begin(), config.env.end());  // later ones win
  setup.switch_root = config.switch_root;
  return setup;
}

}  // namespace vmette::core
