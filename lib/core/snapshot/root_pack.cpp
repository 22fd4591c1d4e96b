#include "core/snapshot/root_pack.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "core/assets.h"
#include "core/image_type.h"
#include "core/rootfs/cache_dir.h"
#include "core/rootfs/root_path.h"
#include "core/snapshot/digest.h"
#include "core/snapshot/draft_dir.h"
#include "core/snapshot/pack_tool.h"
#include "core/snapshot/tree_scan.h"

namespace vmette::core {
namespace {

constexpr const char* kFolder = "/packed";
constexpr std::string_view kPartial = ".partial";
constexpr std::string_view kImage = ".squashfs";
constexpr int kLockPauseMs = 50;
constexpr int kAttempts = 2;
constexpr size_t kTopDigits = 16;
// Images of a directory as it no longer is are kept this long after their last use.
constexpr time_t kKeptSeconds = time_t{24} * 60 * 60;

Error failed(const std::string& directory, const std::string& what, int error_number = 0) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  return {
      Code::kSnapshot,
      one_line(fmt::format("root '{}': {}{}{}{}", directory, what, error_number != 0 ? ": " : "",
                           error_number != 0 ? errno_text(error_number) : "",
                           full ? "; make room there or set cache_dir" : "")),
      "rootfs", error_number};
}

// One call of packed_root().
class RootPack {
 public:
  RootPack(const Config& config, std::string directory)
      : config_(config), directory_(std::move(directory)) {}

  Result<std::string> operator()() {
    BOOST_OUTCOME_TRYV(open_cache());
    std::string changed;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      auto scan = scanned(nullptr, nullptr);
      if (!scan) return scan.error();
      auto packed = image_of(scan.value(), changed);
      if (!packed) return packed.error();
      if (packed.value()) return cache_ + "/" + *packed.value();
    }
    return failed(directory_,
                  fmt::format("'{}' changed while the directory was packed, and so it did at the "
                              "second attempt; give a directory that stays as it is, or an image",
                              changed));
  }

 private:
  Result<void> open_cache() {
    auto root = cache_root(config_);
    if (!root) return root.error();
    std::error_code error;
    source_ = std::filesystem::canonical(directory_, error).string();
    struct stat info{};
    if (error || stat(source_.c_str(), &info) != 0)
      return failed(directory_, "it cannot be looked at", error ? error.value() : errno);
    top_ = sha256_of(fmt::format("{} {}", info.st_dev, info.st_ino)).substr(0, kTopDigits);
    cache_ = root.value() + kFolder;
    BOOST_OUTCOME_TRYV(make_private_directory(cache_));
    cache_fd_.reset(open(cache_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!cache_fd_)
      return failed(directory_, fmt::format("the cache '{}' cannot be opened", cache_), errno);
    for (const std::string& own : {root.value(), cache_})
      if (stat(own.c_str(), &info) == 0) hidden_.emplace_back(info.st_dev, info.st_ino);
    return success();
  }

  Result<TreeScan> scanned(const std::vector<uint64_t>* before, std::string* differs) {
    ScanOptions options;
    options.hidden = hidden_;
    options.before = before;
    options.differs = differs;
    if (config_.progress)
      options.progress = [this](uint64_t entries) {
        return config_.progress("scan " + directory_, entries, 0);
      };
    return scan_tree(source_, options);
  }

  // The image's name; none when the directory was changed while it was packed.
  Result<std::optional<std::string>> image_of(const TreeScan& scan, std::string& changed) {
    const std::string base = top_ + "-" + scan.digest;
    std::string image = base + std::string(kImage);
    if (is_there(image)) return std::optional(std::move(image));
    const std::string partial = base + std::string(kPartial);
    auto lock = locked(partial);
    if (!lock) return lock.error();
    // Whoever had the lock may have made it.
    if (is_there(image)) {
      unlinkat(cache_fd_.get(), partial.c_str(), 0);
      return std::optional(std::move(image));
    }
    sweep(partial);
    auto done = filled(lock.value().get(), scan, changed);
    if (!done || !done.value()) {
      unlinkat(cache_fd_.get(), partial.c_str(), 0);
      if (!done) return done.error();
      return std::optional<std::string>();
    }
    if (renameat(cache_fd_.get(), partial.c_str(), cache_fd_.get(), image.c_str()) != 0)
      return failed(directory_, fmt::format("'{}/{}' cannot be renamed", cache_, partial), errno);
    fsync(cache_fd_.get());
    drop_old(image);
    return std::optional(std::move(image));
  }

  // Only whole images get that name. Its last use is noted in its access time.
  bool is_there(const std::string& image) {
    const UniqueFd file(
        openat(cache_fd_.get(), image.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return false;
    const auto type = image_fstype("root", cache_ + "/" + image);
    if (!type || type.value() != "squashfs") return false;
    const std::array<timespec, 2> times = {{{0, UTIME_NOW}, {0, UTIME_OMIT}}};
    futimens(file.get(), times.data());
    return true;
  }

  // The file that the image is written to; the one who has its lock may. The lock lives as long as
  // anybody, mksquashfs included, has the descriptor.
  Result<UniqueFd> locked(const std::string& partial) {
    while (true) {
      UniqueFd file(openat(cache_fd_.get(), partial.c_str(),
                           O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (!file)
        return failed(directory_, fmt::format("'{}/{}' cannot be made", cache_, partial), errno);
      while (!lock(file.get(), LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK)
          return failed(directory_, fmt::format("'{}/{}' cannot be locked", cache_, partial),
                        errno);
        if (config_.progress && !config_.progress("wait for another packer", 0, 0))
          return Error(Code::kCancelled, "the caller's progress callback gave up", "rootfs");
        poll(nullptr, 0, kLockPauseMs);
      }
      // By now it can be an image, or gone.
      if (is_named(cache_fd_.get(), partial, file.get())) return file;
      if (is_there(partial.substr(0, partial.size() - kPartial.size()) + std::string(kImage)))
        return file;
    }
  }

  // Packs; false when the directory is not as `scan` says any more.
  Result<bool> filled(int file, const TreeScan& scan, std::string& changed) {
    if (ftruncate(file, 0) != 0) return failed(directory_, "its image cannot be emptied", errno);
    auto helper = find_helper(config_);
    if (!helper) return helper.error();
    PackOrder order{helper.value(), source_, scan.empty, file, {}};
    if (config_.progress)
      order.progress = [this](int percent) {
        return config_.progress("pack " + directory_, static_cast<uint64_t>(percent), 100);
      };
    BOOST_OUTCOME_TRYV(pack_directory(order));
    if (fsync(file) != 0) return failed(directory_, "its image cannot be written to disk", errno);
    changed.clear();
    auto after = scanned(&scan.marks, &changed);
    if (!after) return after.error();
    return after.value().digest == scan.digest;
  }

  // What killed packers left. One that works holds its lock.
  void sweep(const std::string& own) {
    std::vector<std::string> names;
    list_directory(cache_fd_.get(), names);
    for (const std::string& name : names) {
      if (name == own || !name.ends_with(kPartial)) continue;
      const UniqueFd file(
          openat(cache_fd_.get(), name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (file && lock(file.get(), LOCK_EX | LOCK_NB) &&
          is_named(cache_fd_.get(), name, file.get()))
        unlinkat(cache_fd_.get(), name.c_str(), 0);
    }
  }

  // Images of this directory as it was, when nobody has asked for them for long. Snapshots have
  // their own link.
  void drop_old(const std::string& image) {
    std::vector<std::string> names;
    list_directory(cache_fd_.get(), names);
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    for (const std::string& name : names) {
      struct stat info{};
      if (name == image || !name.starts_with(top_ + "-") || !name.ends_with(kImage) ||
          fstatat(cache_fd_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
        continue;
      if (info.st_atim.tv_sec < now.tv_sec - kKeptSeconds)
        unlinkat(cache_fd_.get(), name.c_str(), 0);
    }
  }

  const Config& config_;
  const std::string directory_;
  std::string source_;  // the same without links
  std::string top_;     // in the names of all images of this directory
  std::string cache_;
  UniqueFd cache_fd_;
  std::vector<std::pair<uint64_t, uint64_t>> hidden_;
};

}  // namespace

Result<std::string> packed_root(const Config& config, const std::string& directory) {
  return RootPack(config, absolute_path(directory))();
}

}  // namespace vmette::core
