#include "core/snapshot/snapshot_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "core/rootfs/root_path.h"
#include "core/snapshot/checks.h"
#include "core/snapshot/draft_dir.h"
#include "core/snapshot/place_file.h"

namespace vmette::core {
namespace {

constexpr const char* kPrivateName = "fork";
constexpr const char* kNewManifest = "manifest.json.new";

Error failed(const std::string& path, const std::string& what, int error_number = 0) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  return {Code::kSnapshot,
          one_line(fmt::format("snapshot {}: {}{}{}{}", path, what, error_number != 0 ? ": " : "",
                               error_number != 0 ? errno_text(error_number) : "",
                               full ? "; make room or choose another directory" : "")),
          "snapshot", error_number};
}

Error exists(const std::string& path) {
  return failed(path, "there is something of that name already; remove it or choose another name",
                0);
}

bool is_part(const std::string& name) {
  return is_snapshot_file(name) || name == kManifestFile || name == kNewManifest;
}

// errno, or 0.
int write_manifest(int directory, const std::string& text) {
  unlinkat(directory, kNewManifest, 0);
  const UniqueFd file(
      openat(directory, kNewManifest, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return errno;
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = write(file.get(), text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) return errno;
    if (count > 0) done += static_cast<size_t>(count);
  }
  const bool there = fsync(file.get()) == 0 &&
                     renameat(directory, kNewManifest, directory, kManifestFile) == 0 &&
                     fsync(directory) == 0;
  return there ? 0 : errno;
}

// What the directory holds becomes the manifest's list.
Result<void> list_files(const std::string& target, int directory, SnapshotManifest& manifest) {
  std::vector<std::string> names;
  if (!list_directory(directory, names)) return failed(target, "its files cannot be listed", errno);
  manifest.files.clear();
  for (const std::string& name : names) {
    if (name == kManifestFile || name == kNewManifest) continue;
    struct stat info{};
    if (fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return failed(target, fmt::format("{} cannot be looked at", name), errno);
    if (!is_snapshot_file(name) || !S_ISREG(info.st_mode))
      return failed(target, fmt::format("'{}' is no file of a snapshot", name));
    manifest.files.push_back({name, static_cast<uint64_t>(info.st_size), {}});
  }
  return success();
}

// Renames onto nothing. errno, or 0.
int rename_to_nothing(int directory, const std::string& from, const std::string& to) {
  if (renameat2(directory, from.c_str(), directory, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // The file system does not know how. Onto a snapshot the rename fails, for that is not empty.
  struct stat info{};
  if (fstatat(directory, to.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return EEXIST;
  if (errno != ENOENT) return errno;
  return renameat(directory, from.c_str(), directory, to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

Result<SnapshotDraft> SnapshotDraft::open_parent(const std::string& parent,
                                                 const std::string& target) {
  SnapshotDraft draft;
  draft.parent_ = parent;
  draft.target_ = target;
  draft.parent_fd_ = UniqueFd(open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const bool writable =
      draft.parent_fd_ && faccessat(draft.parent_fd_.get(), ".", W_OK | X_OK, AT_EACCESS) == 0;
  if (!writable)
    return failed(target,
                  fmt::format("'{}' must be a directory that can be read and written", parent),
                  errno);
  sweep_snapshots(parent);
  // A file system without locks has no sweepers either.
  lock(draft.parent_fd_.get(), LOCK_SH);
  return draft;
}

Result<SnapshotDraft> SnapshotDraft::create(const std::string& path) {
  auto place = place_of(path);
  if (!place) return place.error();
  auto draft = open_parent(place.value().parent, path);
  if (!draft) return draft.error();
  struct stat info{};
  const std::string& name = place.value().name;
  if (fstatat(draft.value().parent_fd_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
    return exists(path);
  if (errno != ENOENT) return failed(path, "its path cannot be looked at", errno);
  draft.value().name_ = draft_name(name);
  draft.value().final_ = name;
  return draft;
}

Result<SnapshotDraft> SnapshotDraft::create_private(const std::string& directory) {
  auto draft = open_parent(absolute_path(directory), directory);
  if (!draft) return draft.error();
  draft.value().name_ = draft_name(kPrivateName);
  return draft;
}

SnapshotDraft::SnapshotDraft(SnapshotDraft&& other) noexcept
    : parent_(std::move(other.parent_)),
      name_(std::exchange(other.name_, {})),
      final_(std::move(other.final_)),
      target_(std::move(other.target_)),
      parent_fd_(std::move(other.parent_fd_)),
      fd_(std::move(other.fd_)),
      committed_(std::exchange(other.committed_, false)) {}

SnapshotDraft& SnapshotDraft::operator=(SnapshotDraft&& other) noexcept {
  if (this == &other) return *this;
  discard();
  parent_ = std::move(other.parent_);
  name_ = std::exchange(other.name_, {});
  final_ = std::move(other.final_);
  target_ = std::move(other.target_);
  parent_fd_ = std::move(other.parent_fd_);
  fd_ = std::move(other.fd_);
  committed_ = std::exchange(other.committed_, false);
  return *this;
}

SnapshotDraft::~SnapshotDraft() {
  discard();
}

// Whoever still writes there holds no name any more.
void SnapshotDraft::discard() noexcept {
  const bool stays = committed_ && !final_.empty();
  if (name_.empty() || stays) return;
  if (!fd_) fd_ = open_directory_at(parent_fd_.get(), name_);
  if (fd_) remove_directory(parent_fd_.get(), name_, fd_.get());
}

std::string SnapshotDraft::directory() const {
  return parent_ == "/" ? parent_ + name_ : parent_ + "/" + name_;
}

Result<void> SnapshotDraft::adopt() {
  if (fd_) return success();
  UniqueFd fd = open_directory_at(parent_fd_.get(), name_);
  if (!fd) return failed(target_, fmt::format("'{}' is gone", directory()), errno);
  lock(fd.get(), LOCK_SH);
  if (!is_named(parent_fd_.get(), name_, fd.get()))
    return failed(target_, fmt::format("'{}' was removed while it was made", directory()));
  fd_ = std::move(fd);
  lock(parent_fd_.get(), LOCK_UN);
  return success();
}

Result<void> SnapshotDraft::put_file(const std::string& source, const std::string& name,
                                     const Progress& progress) {
  if (!is_snapshot_file(name))
    return failed(target_, fmt::format("'{}' is no file of a snapshot", name));
  BOOST_OUTCOME_TRYV(adopt());
  return place_file(source, fd_.get(), name, progress);
}

Result<void> SnapshotDraft::commit(SnapshotManifest manifest, bool digests,
                                   const Progress& progress) {
  if (committed_) return failed(target_, "it is complete already");
  BOOST_OUTCOME_TRYV(adopt());
  BOOST_OUTCOME_TRYV(list_files(target_, fd_.get(), manifest));
  if (digests) {
    BOOST_OUTCOME_TRYV(add_digests(directory(), manifest, progress));
  }
  if (manifest.created_at.empty()) manifest.created_at = rfc3339_now();
  const std::string text = to_text(manifest);
  // What no resume could read is not worth keeping.
  if (auto read_back = parse_manifest(text, target_); !read_back) return read_back.error();
  if (const int error = write_manifest(fd_.get(), text); error != 0)
    return failed(target_, fmt::format("{} cannot be written", kManifestFile), error);
  // A private one keeps its name: were this process killed, the helper that made it removes it.
  if (!final_.empty()) {
    BOOST_OUTCOME_TRYV(move_to(final_));
  }
  committed_ = true;
  return success();
}

Result<void> SnapshotDraft::move_to(const std::string& name) {
  const int error = rename_to_nothing(parent_fd_.get(), name_, name);
  if (error == EEXIST || error == ENOTEMPTY || error == ENOTDIR) return exists(target_);
  if (error != 0) return failed(target_, fmt::format("'{}' cannot be renamed", directory()), error);
  // Some file systems cannot sync a directory.
  if (fsync(parent_fd_.get()) != 0 && errno != EINVAL) {
    const int reason = errno;
    renameat(parent_fd_.get(), name.c_str(), parent_fd_.get(), name_.c_str());
    return failed(target_, fmt::format("'{}' cannot be written to disk", parent_), reason);
  }
  name_ = name;
  return success();
}

Result<void> remove_snapshot(const std::string& path) {
  auto found = place_of(path);
  if (!found) return found.error();
  Place& place = found.value();
  const UniqueFd parent(open(place.parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd directory = parent ? open_directory_at(parent.get(), place.name) : UniqueFd();
  if (!directory)
    return failed(path, "there is no snapshot of that name, give the directory of one", errno);
  std::vector<std::string> names;
  if (!list_directory(directory.get(), names))
    return failed(path, "its files cannot be listed", errno);
  const bool draft = is_draft_name(place.name);
  bool complete = false;
  for (const std::string& name : names) {
    complete = complete || name == kManifestFile;
    if (!draft && !is_part(name))
      return failed(path, fmt::format("'{}' is no file of a snapshot, and so this is none; remove "
                                      "it by other means if you mean it",
                                      name));
  }
  if (!draft && !complete)
    return failed(path, fmt::format("it has no {}, and so it is no snapshot", kManifestFile));
  // A draft that is worked on is locked; the lock keeps sweepers off this one. A complete one may
  // still be locked by the helper that made it.
  if (!lock(directory.get(), LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK && draft)
    return failed(path, "somebody is still making it; try again later");
  if (!draft) {
    const std::string aside = draft_name(place.name);
    if (renameat(parent.get(), place.name.c_str(), parent.get(), aside.c_str()) != 0)
      return failed(path, "it cannot be renamed", errno);
    // Another snapshot may have come to that name meanwhile.
    if (!is_named(parent.get(), aside, directory.get())) {
      (void)rename_to_nothing(parent.get(), aside, place.name);
      return failed(path, "it has just been replaced; try again");
    }
    place.name = aside;
  }
  if (remove_directory(parent.get(), place.name, directory.get())) return success();
  return failed(path, fmt::format("'{}/{}' cannot be removed", place.parent, place.name), errno);
}

}  // namespace vmette::core
