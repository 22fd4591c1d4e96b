#include "core/disks.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "core/config_check.h"
#include "core/image_type.h"
#include "vmm/machine.h"

namespace vmette::core {
namespace {

constexpr std::string_view kReservedPrefix = "vmette-";  // of the library's own disks

Result<void> check_ids(const Config& config) {
  std::set<std::string> seen;
  for (size_t i = 0; i < config.disks.size(); ++i) {
    const std::string id = disk_id(config, i);
    const bool chars_ok = std::ranges::all_of(
        id, [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; });
    if (id.size() > vmm::kMaxSerialBytes || !chars_ok || id == "." || id == "..")
      return wrong("disks: id '{}' is not allowed; use 1 to {} bytes of [A-Za-z0-9._-]", id,
                   vmm::kMaxSerialBytes);
    if (id.starts_with(kReservedPrefix))
      return wrong("disks: id '{}' is reserved; choose one that does not start with '{}'", id,
                   kReservedPrefix);
    if (!seen.insert(id).second)
      return wrong(
          "disks: id '{}' is used twice; give every disk its own (one without is disk<N>, its "
          "position)",
          id);
  }
  return success();
}

// What two paths of one file or device have in common.
using Identity = std::pair<dev_t, ino_t>;

Result<void> check_shared_use(const Config& config) {
  std::map<Identity, bool> writers;  // false: read only
  const auto add = [&writers](const std::string& path, bool read_only) {
    struct stat info{};
    if (stat(path.c_str(), &info) != 0) return true;
    const Identity identity =
        S_ISBLK(info.st_mode) ? Identity{info.st_rdev, 0} : Identity{info.st_dev, info.st_ino};
    const auto [at, fresh] = writers.emplace(identity, !read_only);
    return fresh || (!at->second && read_only);
  };
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs)) add(block->path, true);
  for (const Disk& disk : config.disks)
    if (!add(disk.path, disk.read_only))
      return wrong(
          "disks: '{}' is attached twice, and written; attach it once, or read-only wherever it is "
          "used",
          disk.path);
  return success();
}

Result<void> check_scratch(const Config& config) {
  if (config.scratch_mib == 0) return success();
  if (config.scratch_mib < vmm::kMinScratchMib || config.scratch_mib > vmm::kMaxScratchMib)
    return wrong("scratch_mib: {} is out of range; give a number of MiB from {} to {}",
                 config.scratch_mib, vmm::kMinScratchMib, vmm::kMaxScratchMib);
  const std::string directory = scratch_directory(config);
  BOOST_OUTCOME_TRYV(check_directory("scratch_dir", directory));
  if (access(directory.c_str(), W_OK) != 0)
    return wrong("scratch_dir: '{}' cannot be written: {}; give another directory", directory,
                 errno_text(errno));
  return success();
}

Result<void> check_root_image(const RootfsBlock& block) {
  if (!block.fstype.empty() && block.fstype != "squashfs" && block.fstype != "erofs" &&
      block.fstype != "ext4")
    return wrong("rootfs: file system type '{}' is unknown; use squashfs, erofs or ext4",
                 block.fstype);
  BOOST_OUTCOME_TRYV(check_file("rootfs", block.path, R_OK));
  const auto found = image_fstype("rootfs", block.path);
  if (!found) return found.error();
  if (!block.fstype.empty() && found.value() != block.fstype)
    return wrong("rootfs: '{}' is not a {} image but {}; name that type, or none", block.path,
                 block.fstype, found.value());
  return success();
}

}  // namespace

std::string disk_id(const Config& config, size_t index) {
  const std::string& id = config.disks[index].id;
  return id.empty() ? fmt::format("disk{}", index) : id;
}

std::string scratch_directory(const Config& config) {
  if (!config.scratch_dir.empty()) return config.scratch_dir;
  const char* variable = getenv("VMETTE_SCRATCH_DIR");  // NOLINT(concurrency-mt-unsafe): read only
  return variable != nullptr && *variable != '\0' ? variable : "/var/tmp";
}

Result<void> check_disks(const Config& config) {
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs)) {
    BOOST_OUTCOME_TRYV(check_root_image(*block));
  }
  BOOST_OUTCOME_TRYV(check_ids(config));
  for (const Disk& disk : config.disks) {
    BOOST_OUTCOME_TRYV(check_file("disks", disk.path, disk.read_only ? R_OK : R_OK | W_OK));
  }
  BOOST_OUTCOME_TRYV(check_shared_use(config));
  return check_scratch(config);
}

void detect_fstypes(Config& config) {
  if (auto* block = std::get_if<RootfsBlock>(&config.rootfs); block && block->fstype.empty())
    if (auto found = image_fstype("rootfs", block->path)) block->fstype = std::move(found.value());
  for (Disk& disk : config.disks)
    if (auto found = image_fstype("disks", disk.path)) disk.fstype = std::move(found.value());
}

}  // namespace vmette::core
