#include "core/snapshot/prepare.h"

#include "core/snapshot/checks.h"
#include "core/snapshot/root_pack.h"

namespace vmette::core {
namespace {

// What a restored machine's configuration has already is what the snapshot says.
Result<void> note(const std::string& path, FileStamp& stamp) {
  if (stamp.size != 0) return success();
  auto now = stamp_of(path);
  if (!now) return now.error();
  stamp = std::move(now.value());
  return success();
}

}  // namespace

Result<void> prepare_for_saving(Config& config, const Progress& progress) {
  if (const auto* share = std::get_if<RootfsShare>(&config.rootfs)) {
    Config packing = config;
    packing.progress = progress;
    auto image = packed_root(packing, share->path);
    if (!image) return image.error();
    RootfsBlock block{std::move(image.value()), "squashfs", share->read_only};
    block.packed = true;
    config.rootfs = std::move(block);
  }
  if (auto* block = std::get_if<RootfsBlock>(&config.rootfs)) {
    BOOST_OUTCOME_TRYV(note(block->path, block->stamp));
  }
  for (Disk& disk : config.disks) {
    if (!disk.read_only) continue;
    BOOST_OUTCOME_TRYV(note(disk.path, disk.stamp));
  }
  return success();
}

}  // namespace vmette::core
