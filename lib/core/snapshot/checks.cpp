#include "core/snapshot/checks.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/file_time.h"
#include "base/unique_fd.h"
#include "core/snapshot/digest.h"

namespace vmette::core {
namespace {

constexpr const char* kStage = "snapshot";
constexpr const char* kDamaged = "the snapshot is damaged, build it again";
constexpr uint64_t kTscParts = 1000;                // one of them may differ
constexpr std::string_view kDevicesMagic = "QEVM";  // of a QEMU stream

Error refused(const std::string& path, const std::string& what) {
  return {Code::kRestoreFailed, one_line(fmt::format("snapshot {}: {}", path, what)), kStage};
}

template <class Value>
Error differs(const std::string& path, std::string_view field, const Value& saved,
              const Value& here, std::string_view remedy) {
  return refused(path, fmt::format("{}: the snapshot has '{}', this host has '{}'; {}", field,
                                   saved, here, remedy));
}

UniqueFd open_directory(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// A file of the snapshot, opened without following a link or waiting for a FIFO's other end, and
// of the size that the manifest has.
Result<UniqueFd> open_file(const std::string& path, int directory, const SnapshotFile& file) {
  UniqueFd fd(openat(directory, file.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENOENT)
    return refused(path, fmt::format("{}: is missing; {}", file.name, kDamaged));
  if (!fd && errno == ELOOP)
    return refused(path, fmt::format("{}: is a link, not a regular file; {}", file.name, kDamaged));
  struct stat info{};
  if (!fd || fstat(fd.get(), &info) != 0)
    return os_error(one_line(fmt::format("snapshot {}: {}: cannot be opened", path, file.name)),
                    errno, kStage);
  if (!S_ISREG(info.st_mode))
    return refused(path, fmt::format("{}: is not a regular file; {}", file.name, kDamaged));
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size != file.size)
    return refused(path, fmt::format("{}: the manifest has {} bytes, the file has {}; {}",
                                     file.name, file.size, size, kDamaged));
  return fd;
}

Result<UniqueFd> open_snapshot(const std::string& path) {
  UniqueFd directory = open_directory(path);
  if (directory) return directory;
  return Error(Code::kSnapshot,
               one_line(fmt::format("there is no snapshot at '{}': {}; give the directory that a "
                                    "build has made",
                                    path, errno_text(errno))),
               kStage, errno);
}

Result<void> check_boot_file(const std::string& path, std::string_view field, const BootFile& saved,
                             const BootFile& here) {
  const std::string remedy =
      fmt::format("resume with the {} of the save or build the snapshot again", field);
  if (saved.path.empty() != here.path.empty())
    return differs(path, fmt::format("{}.path", field), saved.path, here.path, remedy);
  if (saved.path.empty()) return success();
  if (saved.stamp.size != here.stamp.size)
    return differs(path, fmt::format("{}.size", field), saved.stamp.size, here.stamp.size, remedy);
  if (saved.stamp.mtime_ns == here.stamp.mtime_ns) return success();
  if (saved.stamp.sha256.empty())
    return differs(path, fmt::format("{}.mtime_ns", field), saved.stamp.mtime_ns,
                   here.stamp.mtime_ns, remedy);
  std::string digest = here.stamp.sha256;
  if (digest.empty()) {
    auto computed = sha256_of_file(here.path);
    if (!computed) return computed.error();
    digest = std::move(computed.value());
  }
  if (saved.stamp.sha256 == digest) return success();
  return differs(path, fmt::format("{}.sha256", field), saved.stamp.sha256, digest, remedy);
}

Result<void> check_image(const std::string& path, const std::string& field,
                         const std::string& image, const FileStamp& saved) {
  const auto here = stamp_of(image);
  if (!here)
    return refused(path, fmt::format("{}.path: the snapshot needs '{}', on this host: {}; put the "
                                     "image back or build the snapshot again",
                                     field, image, errno_text(here.error().error_number)));
  const std::string replaced = fmt::format(
      "'{}' was replaced after the save, it would corrupt the clones: put the old one back or "
      "build the snapshot again",
      image);
  const FileStamp& now = here.value();
  if (saved.size != now.size) return differs(path, field + ".size", saved.size, now.size, replaced);
  if (saved.mtime_ns == now.mtime_ns && saved.inode == now.inode) return success();
  if (!saved.sha256.empty()) {
    auto digest = sha256_of_file(image);
    if (!digest) return digest.error();
    if (digest.value() == saved.sha256) return success();
    return differs(path, field + ".sha256", saved.sha256, digest.value(), replaced);
  }
  if (saved.mtime_ns != now.mtime_ns)
    return differs(path, field + ".mtime_ns", saved.mtime_ns, now.mtime_ns, replaced);
  return differs(path, field + ".inode", saved.inode, now.inode, replaced);
}

Result<void> check_devices(const std::string& path, int fd) {
  std::array<char, kDevicesMagic.size()> magic{};
  const ssize_t count = pread(fd, magic.data(), magic.size(), 0);
  if (count == static_cast<ssize_t>(magic.size()) &&
      std::string_view(magic.data(), magic.size()) == kDevicesMagic)
    return success();
  return refused(path, fmt::format("{}: does not begin like the state of a QEMU machine; {}",
                                   kDevicesFile, kDamaged));
}

Result<void> check_sizes(const std::string& path, const SnapshotManifest& manifest,
                         const SnapshotFile& file) {
  constexpr uint64_t kMib = uint64_t{1} << 20;
  if (file.name == kRamFile && file.size != manifest.memory_mib * kMib)
    return refused(
        path, fmt::format("memory_mib: {} MiB are {} bytes, and {} has {}; {}", manifest.memory_mib,
                          manifest.memory_mib * kMib, kRamFile, file.size, kDamaged));
  if (file.name == kRootFile && manifest.root.path == kRootFile &&
      file.size != manifest.root.stamp.size)
    return refused(path, fmt::format("root.size: {} bytes, and {} has {}; {}",
                                     manifest.root.stamp.size, kRootFile, file.size, kDamaged));
  return success();
}

}  // namespace

Result<FileStamp> stamp_of(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat info{};
  if (!file || fstat(file.get(), &info) != 0)
    return os_error(one_line(fmt::format("'{}' cannot be opened", path)), errno, kStage);
  FileStamp stamp;
  if (S_ISBLK(info.st_mode)) {
    // A device's own times and inode begin anew with each boot of the host.
    const off_t end = lseek(file.get(), 0, SEEK_END);
    stamp.size = end < 0 ? 0 : static_cast<uint64_t>(end);
    stamp.inode = info.st_rdev;
    return stamp;
  }
  stamp.size = static_cast<uint64_t>(info.st_size);
  stamp.mtime_ns = to_nanoseconds(info.st_mtim);
  stamp.inode = info.st_ino;
  return stamp;
}

Result<BootFile> boot_file(const std::string& path) {
  BootFile file;
  if (path.empty()) return file;
  auto stamp = stamp_of(path);
  if (!stamp) return stamp.error();
  file.path = path;
  file.stamp = std::move(stamp.value());
  file.stamp.inode = 0;
  return file;
}

Result<void> check_identity(const std::string& path, const SnapshotManifest& manifest,
                            const HostIdentity& host) {
  const MachineIdentity& saved = manifest.identity;
  const MachineIdentity& here = host.identity;
  constexpr const char* kSoftware =
      "resume with the hypervisor of the save or build the snapshot again with this one";
  constexpr const char* kHardware =
      "resume on a host like that of the save or build the snapshot again on this one";
  const struct {
    const char* field;
    const std::string& saved;
    const std::string& here;
    const char* remedy;
  } fields[] = {
      {"identity.hypervisor", saved.hypervisor, here.hypervisor, kSoftware},
      {"identity.version", saved.version, here.version, kSoftware},
      {"identity.machine", saved.machine, here.machine, kSoftware},
      {"identity.accel", saved.accel, here.accel,
       "ask for that accelerator or build the snapshot again with this one"},
      {"identity.arch", saved.arch, here.arch, kHardware},
      {"identity.cpu", saved.cpu, here.cpu, kHardware},
  };
  for (const auto& item : fields)
    if (item.saved != item.here)
      return differs(path, item.field, item.saved, item.here, item.remedy);
  const uint64_t low = std::min(saved.tsc_khz, here.tsc_khz);
  const uint64_t high = std::max(saved.tsc_khz, here.tsc_khz);
  if (low != 0 && high - low > high / kTscParts)
    return differs(path, "identity.tsc_khz", saved.tsc_khz, here.tsc_khz, kHardware);
  BOOST_OUTCOME_TRYV(check_boot_file(path, "kernel", manifest.kernel, host.kernel));
  BOOST_OUTCOME_TRYV(check_boot_file(path, "initramfs", manifest.initramfs, host.initramfs));
  if (manifest.protocol != host.protocol)
    return differs(path, "protocol", manifest.protocol, host.protocol,
                   "use the vmette of the save or build the snapshot again with this one");
  return success();
}

Result<void> check_images(const std::string& path, const SnapshotManifest& manifest) {
  const SnapshotRoot& root = manifest.root;
  if (root.image && root.path != kRootFile) {
    BOOST_OUTCOME_TRYV(check_image(path, "root", root.path, root.stamp));
  }
  for (size_t i = 0; i < manifest.disks.size(); ++i) {
    const SnapshotDisk& disk = manifest.disks[i];
    if (!disk.read_only) continue;
    BOOST_OUTCOME_TRYV(check_image(path, fmt::format("disks[{}]", i), disk.path, disk.stamp));
  }
  return success();
}

Result<void> check_files(const std::string& path, const SnapshotManifest& manifest) {
  auto directory = open_snapshot(path);
  if (!directory) return directory.error();
  for (const SnapshotFile& file : manifest.files) {
    auto fd = open_file(path, directory.value().get(), file);
    if (!fd) return fd.error();
    BOOST_OUTCOME_TRYV(check_sizes(path, manifest, file));
    if (file.name == kDevicesFile && manifest.identity.hypervisor == "qemu") {
      BOOST_OUTCOME_TRYV(check_devices(path, fd.value().get()));
    }
  }
  return success();
}

Result<void> check_structure(const std::string& path, const SnapshotManifest& manifest) {
  BOOST_OUTCOME_TRYV(check_files(path, manifest));
  const std::string digest = manifest_digest(manifest);
  if (digest == manifest.digest) return success();
  return refused(path, fmt::format("{}: digest: the manifest has '{}', its content gives '{}'; it "
                                   "was changed after the save, build the snapshot again",
                                   kManifestFile, manifest.digest, digest));
}

Result<void> check_digests(const std::string& path, const SnapshotManifest& manifest,
                           const Progress& progress) {
  auto directory = open_snapshot(path);
  if (!directory) return directory.error();
  for (const SnapshotFile& file : manifest.files) {
    if (file.sha256.empty()) continue;
    auto fd = open_file(path, directory.value().get(), file);
    if (!fd) return fd.error();
    auto digest = sha256_of_file(fd.value().get(), file.name, progress);
    if (!digest) return digest.error();
    if (digest.value() != file.sha256)
      return refused(path,
                     fmt::format("{}: the manifest has the digest '{}', the file has '{}'; {}",
                                 file.name, file.sha256, digest.value(), kDamaged));
  }
  return success();
}

Result<void> add_digests(const std::string& path, SnapshotManifest& manifest,
                         const Progress& progress) {
  auto directory = open_snapshot(path);
  if (!directory) return directory.error();
  for (SnapshotFile& file : manifest.files) {
    auto fd = open_file(path, directory.value().get(), file);
    if (!fd) return fd.error();
    auto digest = sha256_of_file(fd.value().get(), file.name, progress);
    if (!digest) return digest.error();
    file.sha256 = std::move(digest.value());
  }
  return success();
}

Result<void> check_snapshot(const std::string& path, const SnapshotManifest& manifest,
                            const HostIdentity& host) {
  BOOST_OUTCOME_TRYV(check_identity(path, manifest, host));
  BOOST_OUTCOME_TRYV(check_images(path, manifest));
  return check_structure(path, manifest);
}

}  // namespace vmette::core
