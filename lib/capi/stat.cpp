// Getters of what file calls hand out.
#include "capi/file_handles.h"

namespace {

// Of st_mode, Linux numbers whatever the host runs.
constexpr uint32_t kTypeMask = 0170000;
constexpr uint32_t kPermissionMask = 07777;
constexpr uint64_t kBlockBytes = 512;

template <class T>
T field(const vmette_stat* stat, T vmette::wire::FileInfo::* member) {
  return stat == nullptr ? T{} : stat->info.*member;
}

template <class T>
T field(const vmette_stats* stats, T vmette::wire::GuestStats::* member) {
  return stats == nullptr ? T{} : stats->stats.*member;
}

}  // namespace

extern "C" {

vmette_file_type vmette_stat_type(const vmette_stat* stat) {
  switch (field(stat, &vmette::wire::FileInfo::mode) & kTypeMask) {
    case 0100000:
      return VMETTE_FILE_REGULAR;
    case 0040000:
      return VMETTE_FILE_DIRECTORY;
    case 0120000:
      return VMETTE_FILE_SYMLINK;
    case 0020000:
      return VMETTE_FILE_CHAR_DEVICE;
    case 0060000:
      return VMETTE_FILE_BLOCK_DEVICE;
    case 0010000:
      return VMETTE_FILE_FIFO;
    case 0140000:
      return VMETTE_FILE_SOCKET;
    default:
      return VMETTE_FILE_UNKNOWN;
  }
}

uint32_t vmette_stat_mode(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::mode) & kPermissionMask;
}

uint64_t vmette_stat_size(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::size);
}

uint64_t vmette_stat_disk_bytes(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::blocks) * kBlockBytes;
}

uint32_t vmette_stat_uid(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::uid);
}

uint32_t vmette_stat_gid(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::gid);
}

uint64_t vmette_stat_inode(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::inode);
}

uint64_t vmette_stat_links(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::links);
}

uint64_t vmette_stat_device(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::device);
}

int64_t vmette_stat_mtime_ns(const vmette_stat* stat) {
  return field(stat, &vmette::wire::FileInfo::mtime_ns);
}

const char* vmette_stat_target(const vmette_stat* stat) {
  return stat == nullptr ? "" : stat->info.target.c_str();
}

void vmette_stat_delete(vmette_stat* stat) {
  delete stat;
}

size_t vmette_listing_count(const vmette_listing* listing) {
  return listing == nullptr ? 0 : listing->entries.size();
}

const char* vmette_listing_name(const vmette_listing* listing, size_t index) {
  const vmette_stat* entry = vmette_listing_stat(listing, index);
  return entry == nullptr ? nullptr : entry->info.name.c_str();
}

const vmette_stat* vmette_listing_stat(const vmette_listing* listing, size_t index) {
  return index < vmette_listing_count(listing) ? &listing->entries[index] : nullptr;
}

void vmette_listing_delete(vmette_listing* listing) {
  delete listing;
}

uint64_t vmette_stats_uptime_us(const vmette_stats* stats) {
  return field(stats, &vmette::wire::GuestStats::uptime_us);
}

uint64_t vmette_stats_memory_kib(const vmette_stats* stats) {
  return field(stats, &vmette::wire::GuestStats::memory_kib);
}

uint64_t vmette_stats_memory_available_kib(const vmette_stats* stats) {
  return field(stats, &vmette::wire::GuestStats::memory_available_kib);
}

uint32_t vmette_stats_load_milli(const vmette_stats* stats, size_t index) {
  constexpr size_t kAverages = 3;
  return stats == nullptr || index >= kAverages ? 0 : stats->stats.load_milli[index];
}

uint32_t vmette_stats_processes(const vmette_stats* stats) {
  return field(stats, &vmette::wire::GuestStats::processes);
}

uint64_t vmette_stats_root_bytes(const vmette_stats* stats) {
  return field(stats, &vmette::wire::GuestStats::root_bytes);
}

uint64_t vmette_stats_root_available_bytes(const vmette_stats* stats) {
  return field(stats, &vmette::wire::GuestStats::root_available_bytes);
}

void vmette_stats_delete(vmette_stats* stats) {
  delete stats;
}

}  // extern "C"
