#include "core/snapshot/restore.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/rootfs/root_path.h"
#include "core/snapshot/checks.h"
#include "wire/codec.h"

namespace vmette::core {
namespace {

constexpr const char* kReservedDevice = "vmette-resume";

// A setting that is at its default follows the snapshot, another one must be the snapshot's.
template <class T>
Result<void> follow(const Restore& restore, const char* field, T& wanted, const T& by_default,
                    const T& saved) {
  if (wanted != by_default && wanted != saved)
    return Error(Code::kRestoreFailed,
                 one_line(fmt::format("snapshot {}: {}: the snapshot has {}, the configuration {}; "
                                      "leave it out, or build a snapshot with it",
                                      restore.directory, field, saved, wanted)),
                 "restore");
  wanted = saved;
  return success();
}

Error not_of_a_resume(const Restore& restore, const char* field, const std::string& value) {
  return {Code::kRestoreFailed,
          one_line(fmt::format("snapshot {}: {}: the snapshot has its own, the configuration asks "
                               "for '{}'; leave it out, or build a snapshot with it",
                               restore.directory, field, value)),
          "restore"};
}

Result<void> restore_root(const Restore& restore, Config& config) {
  const SnapshotRoot& root = restore.manifest.root;
  const bool inside = root.path == kRootFile;
  const std::string path = inside ? restore.directory + "/" + kRootFile : root.path;
  if (const auto* share = std::get_if<RootfsShare>(&config.rootfs))
    return not_of_a_resume(restore, "rootfs", share->path);
  if (const auto* spec = std::get_if<RootfsSpec>(&config.rootfs))
    return not_of_a_resume(restore, "rootfs", spec->spec);
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs);
      block && (!root.image || absolute_path(block->path) != path))
    return not_of_a_resume(restore, "rootfs", block->path);
  config.rootfs = std::monostate();
  if (root.image)
    config.rootfs = RootfsBlock{path, root.fstype, root.read_only, inside, root.stamp};
  return success();
}

// Writable ones begin as the snapshot's copy, and what is written to them is thrown away.
Result<void> restore_disks(const Restore& restore, Config& config) {
  const auto& saved = restore.manifest.disks;
  for (size_t i = 0; i < config.disks.size(); ++i)
    if (i >= saved.size() || absolute_path(config.disks[i].path) != saved[i].path)
      return not_of_a_resume(restore, "disks", config.disks[i].path);
  config.disks.clear();
  for (const SnapshotDisk& disk : saved) {
    Disk one{disk.path, disk.read_only, disk.id, disk.fstype, {}, disk.stamp};
    if (!disk.file.empty()) one.image = restore.directory + "/" + disk.file;
    config.disks.push_back(std::move(one));
  }
  return success();
}

// A share with the tag of one in the snapshot takes its place, others get a reserved device.
Result<void> restore_shares(const Restore& restore, Config& config) {
  const SnapshotManifest& manifest = restore.manifest;
  std::vector<Share> shares;
  std::set<std::string> tags;
  for (const Share& wanted : config.shares)
    if (!tags.insert(wanted.tag).second)
      return Error(Code::kInvalidConfig,
                   one_line(fmt::format("shares: tag '{}' is used twice; give every share its own "
                                        "name",
                                        wanted.tag)),
                   "config");
  for (const SnapshotShare& saved : manifest.shares)
    shares.push_back({saved.tag, saved.path, saved.read_only, saved.target, saved.device});
  size_t reserved = manifest.resume_shares;
  for (const Share& wanted : config.shares) {
    const auto same = std::ranges::find(shares, wanted.tag, &Share::tag);
    if (same != shares.end()) {
      const std::string device = same->device;
      *same = wanted;
      same->device = device;
      continue;
    }
    if (reserved == 0)
      return Error(Code::kRestoreFailed,
                   one_line(fmt::format(
                       "snapshot {}: shares: the snapshot has {} reserved for a resume, and "
                       "'{}' would be one more; build a snapshot with more resume_shares",
                       restore.directory, manifest.resume_shares, wanted.tag)),
                   "restore");
    --reserved;
    shares.push_back(wanted);
    shares.back().device = reserved_device(reserved_in_use(shares));
  }
  config.shares = std::move(shares);
  config.resume_shares = static_cast<uint32_t>(reserved);
  return success();
}

Accel accel_of(const MachineIdentity& identity) {
  return identity.accel == "kvm" ? Accel::kHardware : Accel::kEmulation;
}

const char* name_of(Accel accel) {
  return accel == Accel::kHardware ? "hardware" : "emulation";
}

}  // namespace

std::string reserved_device(size_t index) {
  return fmt::format("{}{}", kReservedDevice, index);
}

size_t reserved_in_use(const std::vector<Share>& shares) {
  return static_cast<size_t>(std::ranges::count_if(
      shares, [](const Share& share) { return share.device.starts_with(kReservedDevice); }));
}

Result<Restore> open_restore(const std::string& path) {
  Restore restore{absolute_path(path), {}};
  auto manifest = read_manifest(restore.directory);
  if (!manifest) return manifest.error();
  restore.manifest = std::move(manifest.value());
  BOOST_OUTCOME_TRYV(check_images(restore.directory, restore.manifest));
  BOOST_OUTCOME_TRYV(check_files(restore.directory, restore.manifest));
  return restore;
}

Result<Config> restored_config(Config config, const Restore& restore) {
  const SnapshotManifest& saved = restore.manifest;
  const Config defaults;
  BOOST_OUTCOME_TRYV(follow(restore, "vcpus", config.vcpus, defaults.vcpus, saved.vcpus));
  BOOST_OUTCOME_TRYV(
      follow(restore, "mem_mib", config.mem_mib, defaults.mem_mib, saved.memory_mib));
  BOOST_OUTCOME_TRYV(follow(restore, "scratch_mib", config.scratch_mib, defaults.scratch_mib,
                            saved.scratch ? saved.scratch->mib : 0));
  BOOST_OUTCOME_TRYV(follow(restore, "switch_root", config.switch_root, false, saved.switch_root));
  if (config.cmdline != defaults.cmdline)
    return not_of_a_resume(restore, "cmdline", config.cmdline);
  if (config.accel != Accel::kAuto && config.accel != accel_of(saved.identity))
    return not_of_a_resume(restore, "accel", name_of(config.accel));
  config.accel = accel_of(saved.identity);
  if (config.share_transport == ShareTransport::kVirtiofs)
    return not_of_a_resume(restore, "share_transport", "virtiofs");
  config.share_transport = ShareTransport::k9p;
  // Where they are gone, those of the boot assets are compared.
  const auto there = [](const std::string& path) { return access(path.c_str(), R_OK) == 0; };
  if (config.kernel.empty() && there(saved.kernel.path)) config.kernel = saved.kernel.path;
  if (config.initramfs.empty() && there(saved.initramfs.path))
    config.initramfs = saved.initramfs.path;
  BOOST_OUTCOME_TRYV(restore_root(restore, config));
  BOOST_OUTCOME_TRYV(restore_disks(restore, config));
  BOOST_OUTCOME_TRYV(restore_shares(restore, config));
  if (config.hostname == defaults.hostname) config.hostname = saved.hostname;
  config.image_env = saved.image_env;
  config.env.insert(config.env.begin(), saved.env.begin(), saved.env.end());  // later ones win
  config.snapshottable = true;
  return config;
}

Result<MachineIdentity> identity_from(const nlohmann::json& answer) {
  MachineIdentity identity;
  try {
    const nlohmann::json& from = answer.at("identity");
    identity.hypervisor = from.at("hypervisor").get<std::string>();
    identity.version = from.at("version").get<std::string>();
    identity.machine = from.at("machine").get<std::string>();
    identity.accel = from.at("accel").get<std::string>();
    identity.arch = from.at("arch").get<std::string>();
    identity.cpu = from.at("cpu").get<std::string>();
    identity.tsc_khz = from.at("tsc_khz").get<uint64_t>();
  } catch (const nlohmann::json::exception&) {
    return Error(Code::kStartFailed,
                 "the machine's helper process did not say what it runs the machine with",
                 "create");
  }
  return identity;
}

Result<void> check_host(const Restore& restore, const MachineIdentity& identity,
                        const BootFiles& files) {
  SnapshotManifest now;
  BOOST_OUTCOME_TRYV(describe_boot_files(files, now));
  BOOST_OUTCOME_TRYV(check_identity(restore.directory, restore.manifest,
                                    {identity, now.kernel, now.initramfs, wire::kGeneration}));
  return check_structure(restore.directory, restore.manifest);
}

Result<void> describe_boot_files(const BootFiles& files, SnapshotManifest& manifest) {
  auto kernel = boot_file(files.kernel);
  if (!kernel) return kernel.error();
  auto initramfs = boot_file(files.initramfs);
  if (!initramfs) return initramfs.error();
  manifest.kernel = std::move(kernel.value());
  manifest.initramfs = std::move(initramfs.value());
  manifest.kernel.stamp.sha256 = files.kernel_sha256;
  manifest.initramfs.stamp.sha256 = files.initramfs_sha256;
  return success();
}

}  // namespace vmette::core
