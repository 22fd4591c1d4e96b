#include "shares.h"

#include <sys/mount.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "busy.h"
#include "mount_table.h"
#include "populate.h"
#include "system.h"

namespace vmette::agent {
namespace {

struct Mounted {
  const MountEntry* entry;
  const wire::ShareSetup* share;
};

[[noreturn]] void busy(const std::string& point, const std::string& why) {
  throw SetupError("quiesce", EBUSY, point, "the share at " + point + " is in use: " + why);
}

bool is_share(const MountEntry& entry) {
  return entry.type == "9p" || entry.type == "virtiofs";
}

// The share's own mount, at its place if there are several.
const MountEntry* mount_of(const wire::ShareSetup& share, const std::vector<MountEntry>& table) {
  const std::string target = share_target(share);
  const MountEntry* found = nullptr;
  for (const MountEntry& entry : table) {
    if (!is_share(entry) || entry.source != share.tag) continue;
    if (found == nullptr || entry.point == target) found = &entry;
  }
  return found;
}

// In the order in which they were mounted.
std::vector<Mounted> find_mounts(const std::vector<wire::ShareSetup>& shares,
                                 const std::vector<MountEntry>& table) {
  std::vector<Mounted> mounts;
  for (const wire::ShareSetup& share : shares)
    if (const MountEntry* entry = mount_of(share, table)) mounts.push_back({entry, &share});
  const auto is_ours = [&](const MountEntry& entry) {
    return std::ranges::any_of(mounts, [&](const Mounted& ours) { return ours.entry == &entry; });
  };
  for (const MountEntry& entry : table) {
    if (is_ours(entry)) continue;
    if (is_share(entry))
      busy(entry.point, "the guest has mounted \"" + entry.source + "\" there itself; unmount it");
    for (const Mounted& ours : mounts)
      if (entry.parent == ours.entry->id)
        busy(ours.entry->point,
             "the guest has mounted " + entry.type + " at " + entry.point + " in it; unmount that");
  }
  return mounts;
}

void refuse_holders(const RootFs& root, const std::vector<Mounted>& mounts) {
  std::vector<dev_t> devices;
  for (const Mounted& mounted : mounts) devices.push_back(mounted.entry->device);
  const auto holder = find_holder(root.proc.get(), devices);
  if (!holder) return;
  const auto held = std::ranges::find_if(
      mounts, [&](const Mounted& mounted) { return mounted.entry->device == holder->device; });
  if (holder->pid == 1) busy(held->entry->point, "a file operation of the host is under way in it");
  busy(held->entry->point,
       "process " + std::to_string(holder->pid) + " (" + holder->name + ") " + holder->how);
}

}  // namespace

void unmount_shares(const RootFs& root, const std::vector<wire::ShareSetup>& shares,
                    Modules& modules) {
  const InsideRoot inside(root);
  const auto table = mount_table(root.proc.get(), "self");
  const std::vector<Mounted> mounts = find_mounts(shares, table);
  if (mounts.empty()) return;
  refuse_holders(root, mounts);
  std::vector<wire::ShareSetup> gone;
  for (auto mounted = mounts.rbegin(); mounted != mounts.rend(); ++mounted) {
    const std::string& point = mounted->entry->point;
    if (umount2(point.c_str(), UMOUNT_NOFOLLOW) == 0) {
      gone.insert(gone.begin(), *mounted->share);
      continue;
    }
    const int error = errno;
    mount_shares(gone, modules);
    if (error != EBUSY)
      busy(point, "it cannot be unmounted, something may hide it: " + error_text(error));
    busy(point, "the kernel needs it, for a loop device or an overlay, say");
  }
}

void mount_shares_again(const RootFs& root, const std::vector<wire::ShareSetup>& shares,
                        Modules& modules) {
  const InsideRoot inside(root);
  mount_shares(shares, modules);
}

}  // namespace vmette::agent
