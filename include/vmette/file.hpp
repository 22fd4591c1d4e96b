/// @file file.hpp
/// Files of a running machine, and what it says of itself. Part of vmette.hpp, which has the
/// conventions.
#ifndef VMETTE_FILE_HPP
#define VMETTE_FILE_HPP

#include <vmette/file.h>
#include <vmette/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmette {

/// What a file is, see VMETTE_FILE_REGULAR and its neighbours.
enum class FileType : vmette_file_type {
  kUnknown = VMETTE_FILE_UNKNOWN,
  kRegular = VMETTE_FILE_REGULAR,
  kDirectory = VMETTE_FILE_DIRECTORY,
  kSymlink = VMETTE_FILE_SYMLINK,
  kCharDevice = VMETTE_FILE_CHAR_DEVICE,
  kBlockDevice = VMETTE_FILE_BLOCK_DEVICE,
  kFifo = VMETTE_FILE_FIFO,
  kSocket = VMETTE_FILE_SOCKET,
};

/// Bits that change what a file call does, see VMETTE_FILE_FOLLOW and its neighbours; combine them
/// with `|`.
enum class FileFlags : vmette_file_flags {
  kNone = 0,
  kFollow = VMETTE_FILE_FOLLOW,
  kParents = VMETTE_FILE_PARENTS,
  kRecursive = VMETTE_FILE_RECURSIVE,
  kAppend = VMETTE_FILE_APPEND,
  kExclusive = VMETTE_FILE_EXCLUSIVE,
  kAtomic = VMETTE_FILE_ATOMIC,
  kOwners = VMETTE_FILE_OWNERS,
};
[[nodiscard]] constexpr FileFlags operator|(FileFlags a, FileFlags b) noexcept {
  return static_cast<FileFlags>(static_cast<vmette_file_flags>(a) |
                                static_cast<vmette_file_flags>(b));
}

/// VMETTE_MODE_KEEP: as the mode of a write.
inline constexpr std::uint32_t kKeepMode = VMETTE_MODE_KEEP;

/// What a file is: a view of a Stat or of a Listing's entry, valid as long as that.
class StatView {
 public:
  explicit StatView(const vmette_stat* raw) noexcept : raw_(raw) {}

  [[nodiscard]] FileType type() const noexcept {
    return static_cast<FileType>(vmette_stat_type(raw_));
  }
  [[nodiscard]] std::uint32_t mode() const noexcept { return vmette_stat_mode(raw_); }
  [[nodiscard]] std::uint64_t size() const noexcept { return vmette_stat_size(raw_); }
  [[nodiscard]] std::uint64_t disk_bytes() const noexcept { return vmette_stat_disk_bytes(raw_); }
  [[nodiscard]] std::uint32_t uid() const noexcept { return vmette_stat_uid(raw_); }
  [[nodiscard]] std::uint32_t gid() const noexcept { return vmette_stat_gid(raw_); }
  [[nodiscard]] std::uint64_t inode() const noexcept { return vmette_stat_inode(raw_); }
  [[nodiscard]] std::uint64_t links() const noexcept { return vmette_stat_links(raw_); }
  [[nodiscard]] std::uint64_t device() const noexcept { return vmette_stat_device(raw_); }
  /// Time of the last change, since 1970.
  [[nodiscard]] std::chrono::nanoseconds mtime() const noexcept {
    return std::chrono::nanoseconds(vmette_stat_mtime_ns(raw_));
  }
  [[nodiscard]] std::string_view target() const noexcept { return vmette_stat_target(raw_); }
  [[nodiscard]] const vmette_stat* capi() const noexcept { return raw_; }

 private:
  const vmette_stat* raw_;
};

/// What a file is. Never changes; any thread.
class Stat {
 public:
  /// Takes ownership.
  explicit Stat(vmette_stat* raw) noexcept : ptr_(raw) {}
  [[nodiscard]] StatView operator*() const noexcept { return StatView(capi()); }

  [[nodiscard]] FileType type() const noexcept { return (**this).type(); }
  [[nodiscard]] std::uint32_t mode() const noexcept { return (**this).mode(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return (**this).size(); }
  [[nodiscard]] std::uint64_t disk_bytes() const noexcept { return (**this).disk_bytes(); }
  [[nodiscard]] std::uint32_t uid() const noexcept { return (**this).uid(); }
  [[nodiscard]] std::uint32_t gid() const noexcept { return (**this).gid(); }
  [[nodiscard]] std::chrono::nanoseconds mtime() const noexcept { return (**this).mtime(); }
  [[nodiscard]] std::string_view target() const noexcept { return (**this).target(); }
  [[nodiscard]] vmette_stat* capi() const noexcept { return ptr_.get(); }

 private:
  detail::Handle<vmette_stat, vmette_stat_delete> ptr_;
};

/// What is in a directory. Never changes; any thread.
class Listing {
 public:
  /// Takes ownership.
  explicit Listing(vmette_listing* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] std::size_t size() const noexcept { return vmette_listing_count(capi()); }
  /// `index` is below size(). Bytes as they are, valid as long as the listing.
  [[nodiscard]] std::string_view name(std::size_t index) const noexcept {
    return vmette_listing_name(capi(), index);
  }
  /// `index` is below size().
  [[nodiscard]] StatView stat(std::size_t index) const noexcept {
    return StatView(vmette_listing_stat(capi(), index));
  }
  [[nodiscard]] vmette_listing* capi() const noexcept { return ptr_.get(); }

 private:
  detail::Handle<vmette_listing, vmette_listing_delete> ptr_;
};

/// How a machine is doing. Never changes; any thread.
class Stats {
 public:
  /// Takes ownership.
  explicit Stats(vmette_stats* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] std::chrono::microseconds uptime() const noexcept {
    return std::chrono::microseconds(vmette_stats_uptime_us(capi()));
  }
  [[nodiscard]] std::uint64_t memory_kib() const noexcept {
    return vmette_stats_memory_kib(capi());
  }
  [[nodiscard]] std::uint64_t memory_available_kib() const noexcept {
    return vmette_stats_memory_available_kib(capi());
  }
  /// Over 1, 5 and 15 minutes: `index` 0, 1, 2.
  [[nodiscard]] double load(std::size_t index) const noexcept {
    return vmette_stats_load_milli(capi(), index) / 1000.0;
  }
  [[nodiscard]] std::uint32_t processes() const noexcept { return vmette_stats_processes(capi()); }
  [[nodiscard]] std::uint64_t root_bytes() const noexcept {
    return vmette_stats_root_bytes(capi());
  }
  [[nodiscard]] std::uint64_t root_available_bytes() const noexcept {
    return vmette_stats_root_available_bytes(capi());
  }
  [[nodiscard]] vmette_stats* capi() const noexcept { return ptr_.get(); }

 private:
  detail::Handle<vmette_stats, vmette_stats_delete> ptr_;
};

}  // namespace vmette

#endif
