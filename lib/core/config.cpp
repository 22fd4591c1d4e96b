#include "core/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string_view>
#include <thread>

#include "core/config_check.h"
#include "core/disks.h"
#include "core/rootfs/root_path.h"
#include "vmm/machine.h"

namespace vmette::core {
namespace {

constexpr uint64_t kLeastMemoryMib = 64;
constexpr uint64_t kMostMemoryMib = 1024 * 1024;
constexpr size_t kLongestTag = 35;        // what every hypervisor accepts
constexpr size_t kLongestCmdline = 1500;  // of 2048, the rest is for what the helper appends

Error not_in_this_version(const char* field, const char* remedy) {
  return {
      Code::kUnsupported,
      fmt::format("{} is not available in version {} of vmette; {}", field, VMETTE_VERSION, remedy),
      "config"};
}

uint32_t most_vcpus() {
  return std::max(32U, std::thread::hardware_concurrency());
}

Result<void> check_numbers(const Config& config) {
  if (config.vcpus < 1 || config.vcpus > most_vcpus())
    return wrong("vcpus: {} is out of range; give a number from 1 to {}", config.vcpus,
                 most_vcpus());
  if (config.mem_mib < kLeastMemoryMib || config.mem_mib > kMostMemoryMib)
    return wrong("mem_mib: {} is out of range; give a number of MiB from {} to {}", config.mem_mib,
                 kLeastMemoryMib, kMostMemoryMib);
  if (config.ready_timeout_ms == 0)
    return wrong("ready_timeout_ms: 0 leaves no time to boot; give at least 1");
  if (config.vsock_mode == VsockMode::kFixed &&
      (config.vsock_port < 1 || config.vsock_port == UINT32_MAX))
    return wrong("vsock_port: {} is out of range; give a port from 1 to {}, or choose auto",
                 config.vsock_port, UINT32_MAX - 1);
  if (config.guest_vsock_port < 1 || config.guest_vsock_port == UINT32_MAX)
    return wrong("guest_vsock_port: {} is out of range; give a port from 1 to {}",
                 config.guest_vsock_port, UINT32_MAX - 1);
  return success();
}

Result<void> check_names(const Config& config) {
  const std::string& host = config.hostname;
  const bool host_ok =
      !host.empty() && host.size() <= 63 && host.front() != '-' && host.back() != '-' &&
      std::all_of(host.begin(), host.end(), [](char c) { return is_alnum(c) || c == '-'; });
  if (!host_ok)
    return wrong("hostname: '{}' is not a host name; use 1 to 63 letters, digits and inner hyphens",
                 host);
  if (config.cmdline.size() > kLongestCmdline)
    return wrong("cmdline: {} bytes are too long; shorten it to {} bytes", config.cmdline.size(),
                 kLongestCmdline);
  if (config.cmdline.find('\n') != std::string::npos)
    return wrong("cmdline: '{}' has a line break; write it as one line", config.cmdline);
  // The kernel would take what the helper appends for a part of the value.
  if (std::ranges::count(config.cmdline, '"') % 2 != 0)
    return wrong("cmdline: '{}' has a quote that nothing closes; write quotes in pairs",
                 config.cmdline);
  for (const auto& [key, value] : config.env)
    if (!valid_env_key(key))
      return wrong("env: '{}' is not a variable name; use [A-Za-z_][A-Za-z0-9_]*", key);
  if (config.exec && (config.exec->argv.empty() || config.exec->argv[0].empty()))
    return wrong("exec: '' is not a command; name a program or give a shell line");
  return success();
}

Result<void> check_tag(const std::string& tag, std::set<std::string>& seen) {
  const bool chars_ok = std::all_of(tag.begin(), tag.end(), [](char c) {
    return is_alnum(c) || c == '.' || c == '_' || c == '-';
  });
  if (tag.empty() || tag.size() > kLongestTag || !chars_ok || tag == "." || tag == "..")
    return wrong("shares: tag '{}' is not allowed; use 1 to {} bytes of [A-Za-z0-9._-]", tag,
                 kLongestTag);
  if (tag == "rootfs" || tag == "ctl" || tag.starts_with("vmette-"))
    return wrong("shares: tag '{}' is reserved; choose another name", tag);
  if (!seen.insert(tag).second)
    return wrong("shares: tag '{}' is used twice; give every share its own name", tag);
  return success();
}

// True at `directory` and below it.
bool is_within(const std::string& path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

Result<void> check_mount_point(const Share& share, std::set<std::string>& seen) {
  const std::string target = mount_point(share);
  // A name between two slashes that says nothing, or leads elsewhere than it seems.
  const std::string walked = target + '/';
  const bool plain = target.find('\0') == std::string::npos && target.starts_with('/') &&
                     walked.find("//") == std::string::npos &&
                     walked.find("/./") == std::string::npos &&
                     walked.find("/../") == std::string::npos;
  if (!plain)
    return wrong(
        "shares: mount point '{}' of '{}' is not plain; give an absolute path without '.', '..' or "
        "a slash at its end",
        target, share.tag);
  for (const std::string_view taken : {"/proc", "/sys", "/dev"})
    if (is_within(target, taken))
      return wrong("shares: mount point '{}' of '{}' is the guest kernel's; choose another", target,
                   share.tag);
  if (!seen.insert(target).second)
    return wrong("shares: mount point '{}' is used twice; give every share its own", target);
  return success();
}

Result<void> check_shares(const Config& config) {
  std::set<std::string> tags;
  std::set<std::string> targets;
  for (const Share& share : config.shares) {
    BOOST_OUTCOME_TRYV(check_tag(share.tag, tags));
    BOOST_OUTCOME_TRYV(check_mount_point(share, targets));
    BOOST_OUTCOME_TRYV(check_directory("shares", share.path));
  }
  return success();
}

// Every device of the machine but shares and disks, the control channel's included.
size_t other_devices(const Config& config) {
  const bool root = !std::holds_alternative<std::monostate>(config.rootfs);
  const bool scratch = config.scratch_mib != 0;
  const bool vsock = config.vsock_mode == VsockMode::kFixed;
  return size_t{1} + (root ? 1 : 0) + (scratch ? 1 : 0) + (config.net ? 1 : 0) + (vsock ? 1 : 0) +
         config.resume_shares;
}

Result<void> check_devices(const Config& config) {
  const size_t count = config.shares.size() + config.disks.size();
  const size_t others = other_devices(config);
  if (others > vmm::kDeviceLimit)
    return wrong("resume_shares: {} are too many; a machine has at most {} devices",
                 config.resume_shares, vmm::kDeviceLimit);
  const size_t most = vmm::kDeviceLimit - others;
  if (count > most)
    return wrong(
        "shares, disks: {} are too many; a machine has at most {} devices, of which this one "
        "leaves {} for shares and disks; drop some",
        count, vmm::kDeviceLimit, most);
  return success();
}

Result<void> check_files(const Config& config) {
  if (!config.kernel.empty()) {
    BOOST_OUTCOME_TRYV(check_file("kernel", config.kernel, R_OK));
  }
  if (!config.initramfs.empty()) {
    BOOST_OUTCOME_TRYV(check_file("initramfs", config.initramfs, R_OK));
  }
  if (const auto* share = std::get_if<RootfsShare>(&config.rootfs)) {
    BOOST_OUTCOME_TRYV(check_directory("rootfs", share->path));
  }
  BOOST_OUTCOME_TRYV(check_shares(config));
  return check_disks(config);
}

// What cannot be saved, or cannot be found again by a machine that is resumed.
Result<void> check_saving(const Config& config) {
  if (!can_be_saved(config)) {
    if (config.resume_shares != 0 && config.resume_snapshot.empty())
      return wrong("resume_shares: {} is for machines that are saved; set snapshottable as well",
                   config.resume_shares);
    return success();
  }
  if (config.vsock_mode == VsockMode::kFixed)
    return wrong(
        "vsock_port: {} cannot be combined with snapshottable, a vsock device cannot be saved; "
        "choose auto or disabled",
        config.vsock_port);
  const bool shares = !config.shares.empty() || std::holds_alternative<RootfsShare>(config.rootfs);
  if (shares && config.share_transport == ShareTransport::kVirtiofs)
    return wrong(
        "share_transport: 'virtiofs' cannot be combined with snapshottable, a virtio-fs device "
        "cannot be saved; choose auto or 9p");
  for (const Disk& disk : config.disks) {
    struct stat info{};
    if (!disk.read_only && stat(disk.path.c_str(), &info) == 0 && S_ISBLK(info.st_mode))
      return wrong(
          "disks: the block device '{}' cannot be written by a snapshottable machine, which would "
          "have to copy it; attach it read-only or use an image",
          disk.path);
  }
  return success();
}

Result<void> check_combinations(const Config& config) {
  const bool read_only = root_is_read_only(config);
  if (read_only && config.switch_root && config.exec && !config.exec->interactive)
    return wrong(
        "switch_root: a read-only rootfs leaves no place for the runner of the command; drop "
        "switch_root or make the rootfs writable");
  if (read_only && config.scratch_mib != 0)
    return wrong(
        "scratch_mib: {} MiB would hold the writable layer, and a read-only rootfs has none; drop "
        "one of the two",
        config.scratch_mib);
  if (!config.build_snapshot.empty() && !config.resume_snapshot.empty())
    return wrong("build_snapshot: '{}' cannot be combined with resume_snapshot '{}'; use one",
                 config.build_snapshot, config.resume_snapshot);
  return check_saving(config);
}

// What the configuration can say and this version's machines cannot do.
Result<void> check_available(const Config& config) {
  if (config.net) return not_in_this_version("net", "leave it out");
  if (config.vsock_mode == VsockMode::kFixed)
    return not_in_this_version("vsock_port with a number", "choose auto or disabled");
  if (config.guest_vsock_port != Config{}.guest_vsock_port)
    return not_in_this_version("guest_vsock_port", "leave it at its default");
  return success();
}

}  // namespace

Result<void> check_file(const char* field, const std::string& path, int access_mode) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0)
    return wrong("{}: '{}' cannot be used: {}; give the path of an existing file", field, path,
                 errno_text(errno));
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
    return wrong("{}: '{}' is not a file; give the path of a file", field, path);
  if (access(path.c_str(), access_mode) != 0)
    return wrong("{}: '{}' cannot be {}: {}; change its permissions or give another file", field,
                 path, (access_mode & W_OK) != 0 ? "written" : "read", errno_text(errno));
  return success();
}

Result<void> check_directory(const char* field, const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0)
    return wrong("{}: '{}' cannot be used: {}; give the path of an existing directory", field, path,
                 errno_text(errno));
  if (!S_ISDIR(info.st_mode))
    return wrong("{}: '{}' is not a directory; give the path of a directory", field, path);
  if (access(path.c_str(), R_OK | X_OK) != 0)
    return wrong("{}: '{}' cannot be read: {}; change its permissions or give another directory",
                 field, path, errno_text(errno));
  return success();
}

std::string mount_point(const Share& share) {
  return share.target.empty() ? "/mnt/" + share.tag : share.target;
}

void settle_paths(Config& config) {
  // Without a working folder the path stays, and is refused later.
  const auto absolute = [](std::string& path) {
    if (!path.empty()) path = absolute_path(path);
  };
  if (auto* share = std::get_if<RootfsShare>(&config.rootfs)) absolute(share->path);
  if (auto* block = std::get_if<RootfsBlock>(&config.rootfs)) absolute(block->path);
  for (Share& share : config.shares) absolute(share.path);
  for (Disk& disk : config.disks) absolute(disk.path);
  config.scratch_dir = scratch_directory(config);
  absolute(config.scratch_dir);
}

bool can_be_saved(const Config& config) {
  return config.snapshottable || !config.build_snapshot.empty();
}

bool root_is_read_only(const Config& config) {
  if (const auto* share = std::get_if<RootfsShare>(&config.rootfs)) return share->read_only;
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs)) return block->read_only;
  if (const auto* spec = std::get_if<RootfsSpec>(&config.rootfs)) return spec->read_only;
  return false;
}

bool valid_env_key(const std::string& key) {
  if (key.empty() || (key[0] >= '0' && key[0] <= '9')) return false;
  return std::all_of(key.begin(), key.end(), [](char c) { return is_alnum(c) || c == '_'; });
}

Result<void> validate(const Config& config) {
  BOOST_OUTCOME_TRYV(check_numbers(config));
  BOOST_OUTCOME_TRYV(check_names(config));
  BOOST_OUTCOME_TRYV(check_combinations(config));
  BOOST_OUTCOME_TRYV(check_devices(config));
  BOOST_OUTCOME_TRYV(check_files(config));
  return check_available(config);
}

}  // namespace vmette::core
