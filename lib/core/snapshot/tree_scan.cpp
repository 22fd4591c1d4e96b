#include "core/snapshot/tree_scan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "base/file_time.h"
#include "base/unique_fd.h"
#include "core/snapshot/digest.h"
#include "core/snapshot/draft_dir.h"

namespace vmette::core {
namespace {

// Another one gives every image in the cache another name.
constexpr const char* kScanVersion = "vmette tree 1";
constexpr size_t kEntriesPerReport = 1024;
constexpr std::array<std::string_view, 6> kOfTheSystem = {"proc", "sys", "dev",
                                                          "run",  "tmp", "var/tmp"};

uint64_t mark_of(std::string_view record) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : record) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string joined(const std::string& path, const std::string& name) {
  return path.empty() ? name : fmt::format("{}/{}", path, name);
}

Error unreadable(const std::string& top, const std::string& path, int error_number) {
  return {Code::kSnapshot,
          one_line(fmt::format("root '{}': '{}' cannot be read: {}", top, path,
                               errno_text(error_number))),
          "rootfs", error_number};
}

class Scanner {
 public:
  Scanner(std::string top, const ScanOptions& options) : top_(std::move(top)), options_(options) {}

  Result<TreeScan> operator()() {
    fd_.reset(open(top_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat root{};
    if (!fd_ || fstat(fd_.get(), &info_) != 0) return unreadable(top_, top_, errno);
    is_root_ = stat("/", &root) == 0 && root.st_dev == info_.st_dev && root.st_ino == info_.st_ino;
    device_ = info_.st_dev;
    digest_.add(kScanVersion);
    record(".", info_, false, fmt::format("{}", info_.st_dev));
    std::vector<std::string> open_ones = {""};
    while (!open_ones.empty()) {
      const std::string path = std::move(open_ones.back());
      open_ones.pop_back();
      BOOST_OUTCOME_TRYV(directory(path, open_ones));
    }
    if (options_.before != nullptr && options_.before->size() > scan_.marks.size())
      note_difference("(something is gone)");
    scan_.digest = digest_.finish();
    return std::move(scan_);
  }

 private:
  Result<void> directory(const std::string& path, std::vector<std::string>& open_ones) {
    const UniqueFd fd(openat(fd_.get(), path.empty() ? "." : path.c_str(),
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    std::vector<std::string> names;
    if (!fd || !list_directory(fd.get(), names)) {
      // It was removed meanwhile, or is closed to this user, as it is to the packer.
      if (errno != EACCES && errno != EPERM && errno != ENOENT && errno != ENOTDIR)
        return unreadable(top_, path, errno);
      scan_.unread.push_back(path);
      return success();
    }
    const size_t first = open_ones.size();
    for (const std::string& name : names) {
      struct stat info{};
      if (fstatat(fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        return unreadable(top_, joined(path, name), errno);
      }
      std::string below = joined(path, name);
      const bool empty = S_ISDIR(info.st_mode) && is_empty(below, info);
      record(below, info, empty, S_ISLNK(info.st_mode) ? link_target(fd.get(), name) : "");
      if (empty)
        scan_.empty.push_back(std::move(below));
      else if (S_ISDIR(info.st_mode))
        open_ones.push_back(std::move(below));
      if (scan_.marks.size() % kEntriesPerReport == 0 && options_.progress &&
          !options_.progress(scan_.marks.size()))
        return Error(Code::kCancelled, "the caller's progress callback gave up", "rootfs");
    }
    std::reverse(open_ones.begin() + static_cast<std::ptrdiff_t>(first), open_ones.end());
    return success();
  }

  [[nodiscard]] bool is_empty(const std::string& path, const struct stat& info) const {
    if (info.st_dev != device_) return true;
    for (const auto& [device, inode] : options_.hidden)
      if (info.st_dev == device && info.st_ino == inode) return true;
    return is_root_ &&
           std::find(kOfTheSystem.begin(), kOfTheSystem.end(), path) != kOfTheSystem.end();
  }

  static std::string link_target(int directory, const std::string& name) {
    std::array<char, PATH_MAX> target{};
    const ssize_t count = readlinkat(directory, name.c_str(), target.data(), target.size());
    return count < 0 ? "" : std::string(target.data(), static_cast<size_t>(count));
  }

  // Fields are parted by NUL, which no name holds. The times of what is taken for empty tell of
  // what is in it.
  void record(const std::string& path, const struct stat& info, bool empty,
              const std::string& extra) {
    std::string text =
        fmt::format("{}{}{:o} {} {}", path, '\0', info.st_mode, info.st_uid, info.st_gid);
    if (!empty) {
      const uint64_t size = S_ISDIR(info.st_mode) ? 0 : static_cast<uint64_t>(info.st_size);
      text += fmt::format(" {} {} {} {} {}", size, info.st_rdev, info.st_ino,
                          to_nanoseconds(info.st_mtim), to_nanoseconds(info.st_ctim));
    }
    text += '\0';
    text += extra;
    text += '\0';
    digest_.add(text);
    const size_t at = scan_.marks.size();
    scan_.marks.push_back(mark_of(text));
    if (options_.before != nullptr &&
        (at >= options_.before->size() || (*options_.before)[at] != scan_.marks[at]))
      note_difference(path);
  }

  void note_difference(const std::string& path) {
    if (options_.differs != nullptr && options_.differs->empty()) *options_.differs = path;
  }

  const std::string top_;
  const ScanOptions& options_;
  UniqueFd fd_;
  struct stat info_{};
  bool is_root_ = false;
  dev_t device_ = 0;
  Sha256 digest_;
  TreeScan scan_;
};

}  // namespace

Result<TreeScan> scan_tree(const std::string& directory, const ScanOptions& options) {
  return Scanner(directory, options)();
}

}  // namespace vmette::core
