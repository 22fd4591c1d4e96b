#include "core/snapshot/manifest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/file_time.h"
#include "base/unique_fd.h"
#include "core/snapshot/digest.h"
#include "core/snapshot/manifest_json.h"
#include "vmm/machine.h"

namespace vmette::core {
namespace {

using nlohmann::json;

constexpr size_t kMostBytes = size_t{4} * 1024 * 1024;
constexpr const char* kDiskPrefix = "disk";
constexpr const char* kAgain = "build the snapshot again";

Error malformed(const std::string& path, const std::string& what) {
  return {Code::kRestoreFailed,
          one_line(fmt::format("snapshot {}: {}: {}; {}", path, kManifestFile, what, kAgain)),
          "snapshot"};
}

bool is_disk_file(std::string_view name) {
  constexpr size_t kMostDigits = 3;
  if (!name.starts_with(kDiskPrefix)) return false;
  name.remove_prefix(std::strlen(kDiskPrefix));
  return !name.empty() && name.size() <= kMostDigits && (name == "0" || name[0] != '0') &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The form only: nobody computes with it.
bool is_timestamp(const std::string& text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00.000Z";
  if (text.size() != kForm.size()) return false;
  for (size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == '0' ? !digit : text[i] != kForm[i]) return false;
  }
  return true;
}

std::string unknown_digest(const std::string& key, const std::string& digest) {
  if (digest.empty() || is_sha256(digest)) return {};
  return fmt::format("{}: '{}' is no SHA-256", key, digest);
}

std::string problem_of_machine(const SnapshotManifest& manifest) {
  if (!is_timestamp(manifest.created_at))
    return fmt::format("created_at: '{}' is no time", manifest.created_at);
  if (manifest.vcpus < 1 || manifest.vcpus > vmm::kMaxVcpus)
    return fmt::format("vcpus: {} is out of range", manifest.vcpus);
  if (manifest.memory_mib < vmm::kMinMemoryMib || manifest.memory_mib > vmm::kMaxMemoryMib)
    return fmt::format("memory_mib: {} is out of range", manifest.memory_mib);
  if (manifest.resume_shares > vmm::kDeviceLimit)
    return fmt::format("resume_shares: {} is out of range", manifest.resume_shares);
  for (const auto& [key, file] :
       {std::pair("kernel", &manifest.kernel), std::pair("initramfs", &manifest.initramfs)})
    if (auto problem = unknown_digest(std::string(key) + ".sha256", file->stamp.sha256);
        !problem.empty())
      return problem;
  if (!is_sha256(manifest.digest))
    return fmt::format("digest: '{}' is no SHA-256", manifest.digest);
  return {};
}

// Names of files are opened in the snapshot's directory: nothing but known ones, each once.
std::string problem_of_files(const SnapshotManifest& manifest, std::set<std::string>& names) {
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const SnapshotFile& file = manifest.files[i];
    if (!is_snapshot_file(file.name))
      return fmt::format("files[{}].name: '{}' is no file of a snapshot", i, file.name);
    if (!names.insert(file.name).second)
      return fmt::format("files[{}].name: '{}' is there twice", i, file.name);
    if (auto problem = unknown_digest(fmt::format("files[{}].sha256", i), file.sha256);
        !problem.empty())
      return problem;
  }
  for (const char* name : {kRamFile, kDevicesFile})
    if (!names.contains(name)) return fmt::format("files: '{}' is missing", name);
  return {};
}

std::string problem_of_root(const SnapshotRoot& root, const std::set<std::string>& names) {
  if (!root.image) {
    const bool empty = root.path.empty() && root.fstype.empty();
    return empty ? std::string() : "root.image: is false, and yet it has a path or a type";
  }
  if (root.fstype.empty()) return "root.fstype: is empty";
  if (root.path != kRootFile && (root.path.empty() || root.path[0] != '/'))
    return fmt::format("root.path: '{}' is neither absolute nor {}", root.path, kRootFile);
  if (root.path == kRootFile && !names.contains(kRootFile))
    return fmt::format("files: '{}' is missing", kRootFile);
  return unknown_digest("root.sha256", root.stamp.sha256);
}

std::string problem_of_disks(const SnapshotManifest& manifest, const std::set<std::string>& names) {
  std::set<std::string> used;
  for (size_t i = 0; i < manifest.disks.size(); ++i) {
    const SnapshotDisk& disk = manifest.disks[i];
    const std::string key = fmt::format("disks[{}]", i);
    if (disk.path.empty() || disk.path[0] != '/')
      return fmt::format("{}.path: '{}' is not absolute", key, disk.path);
    if (auto problem = unknown_digest(key + ".sha256", disk.stamp.sha256); !problem.empty())
      return problem;
    if (disk.read_only != disk.file.empty())
      return fmt::format("{}.file: '{}' does not fit a {} disk", key, disk.file,
                         disk.read_only ? "read-only" : "writable");
    if (disk.read_only) continue;
    if (!is_disk_file(disk.file) || !names.contains(disk.file) || !used.insert(disk.file).second)
      return fmt::format("{}.file: '{}' is no file of this disk's own", key, disk.file);
  }
  if (!manifest.scratch) return {};
  if (manifest.scratch->file != kScratchFile || !names.contains(kScratchFile))
    return fmt::format("scratch.file: '{}' is no file of the snapshot", manifest.scratch->file);
  const uint64_t mib = manifest.scratch->mib;
  const bool in_range = mib >= vmm::kMinScratchMib && mib <= vmm::kMaxScratchMib;
  return in_range ? std::string() : fmt::format("scratch.mib: {} is out of range", mib);
}

std::string problem_of(const SnapshotManifest& manifest) {
  std::set<std::string> names;
  std::string problem = problem_of_machine(manifest);
  if (problem.empty()) problem = problem_of_files(manifest, names);
  if (problem.empty()) problem = problem_of_root(manifest.root, names);
  return problem.empty() ? problem_of_disks(manifest, names) : problem;
}

Error no_snapshot(const std::string& path, const std::string& why, int error_number) {
  return {Code::kSnapshot,
          one_line(fmt::format("there is no snapshot at '{}': {}; give the directory that a "
                               "build has made",
                               path, why)),
          "snapshot", error_number};
}

Result<std::string> read_bounded(int fd, const std::string& path) {
  std::string text;
  std::vector<char> chunk(size_t{64} * 1024);
  while (true) {
    const ssize_t count = read(fd, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return os_error(one_line(fmt::format("snapshot {}: {} cannot be read", path, kManifestFile)),
                      errno, "snapshot");
    if (count == 0) return text;
    text.append(chunk.data(), static_cast<size_t>(count));
    if (text.size() > kMostBytes)
      return malformed(path, fmt::format("is larger than {} bytes", kMostBytes));
  }
}

}  // namespace

std::string disk_file(uint32_t index) {
  return fmt::format("{}{}", kDiskPrefix, index);
}

bool is_snapshot_file(std::string_view name) {
  return name == kRamFile || name == kDevicesFile || name == kScratchFile || name == kRootFile ||
         is_disk_file(name);
}

std::string rfc3339_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  constexpr long kNanosecondsPerMillisecond = 1000000;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     now.tv_nsec / kNanosecondsPerMillisecond);
}

// Canonical: keys sorted, no white space, which is how the library dumps.
std::string manifest_digest(const SnapshotManifest& manifest) {
  json object = manifest_to_json(manifest);
  object["format"] = kSnapshotFormat;
  return sha256_of(object.dump());
}

std::string to_text(const SnapshotManifest& manifest) {
  json object = manifest_to_json(manifest);
  object["format"] = kSnapshotFormat;
  object["digest"] = sha256_of(object.dump());
  return object.dump(2) + "\n";
}

Result<SnapshotManifest> parse_manifest(const std::string& text, const std::string& path) {
  if (text.size() > kMostBytes)
    return malformed(path, fmt::format("is larger than {} bytes", kMostBytes));
  json object;
  SnapshotManifest manifest;
  std::string problem = parse_strictly(text, object);
  if (problem.empty()) problem = manifest_from_json(object, manifest);
  if (problem.empty()) problem = problem_of(manifest);
  if (!problem.empty()) return malformed(path, problem);
  return manifest;
}

Result<SnapshotManifest> read_manifest(const std::string& directory) {
  const UniqueFd dir(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return no_snapshot(directory, errno_text(errno), errno);
  // Non-blocking: it could be a FIFO.
  const UniqueFd file(
      openat(dir.get(), kManifestFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno == ENOENT)
    return no_snapshot(directory, fmt::format("it has no {}", kManifestFile), ENOENT);
  struct stat info{};
  if (!file || fstat(file.get(), &info) != 0)
    return os_error(
        one_line(fmt::format("snapshot {}: {} cannot be opened", directory, kManifestFile)), errno,
        "snapshot");
  if (!S_ISREG(info.st_mode)) return malformed(directory, "is not a regular file");
  auto text = read_bounded(file.get(), directory);
  if (!text) return text.error();
  return parse_manifest(text.value(), directory);
}

}  // namespace vmette::core
