#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "core/snapshot/manifest.h"
#include "wire/messages.h"

namespace vmette::core {

class Provider;
using ProviderList = std::vector<std::shared_ptr<const Provider>>;

enum class VsockMode : int32_t { kDisabled = 0, kAuto = 1, kFixed = 2 };
enum class Accel : int32_t { kAuto = 0, kHardware = 1, kEmulation = 2 };
enum class ShareTransport : int32_t { kAuto = 0, kVirtiofs = 1, k9p = 2 };

// A host directory as the root's lower layer.
struct RootfsShare {
  std::string path;
  bool read_only = false;  // no writable layer on top
};

// A file-system image as the root's lower layer.
struct RootfsBlock {
  std::string path;
  std::string fstype;      // empty: told by its superblock
  bool read_only = false;  // no writable layer on top; the image itself is never written
  bool packed = false;     // made from a directory: a snapshot keeps it
  FileStamp stamp{};       // of a machine that can be saved
};

// What a provider makes one of the other two of, see core/rootfs/resolve.h.
struct RootfsSpec {
  std::string spec;
  bool read_only = false;
};

struct Share {
  std::string tag;
  std::string path;
  bool read_only = false;
  std::string target;       // mount point in the guest; empty: /mnt/<tag>
  std::string device = {};  // the guest's name of it in a restored machine; empty: from the tag
};

// Where the guest mounts it.
std::string mount_point(const Share& share);

struct Disk {
  std::string path;
  bool read_only = false;
  std::string id;          // empty: disk<N>, its position
  std::string fstype;      // once it was looked at; empty: none that is known
  std::string image = {};  // of a restored machine: the disk begins as a copy of it
  FileStamp stamp{};       // of a machine that can be saved, where the disk is read-only
};

// The main command: a shell line (one element, `shell`) or an argv.
struct Command {
  std::vector<std::string> argv;
  bool shell = false;
  bool interactive = false;  // the shell that run() gives: who is in it may power the machine off
};

inline constexpr const char* kDefaultCmdline =
    "quiet cryptomgr.notests raid=noautodetect cgroup.memory=nokmem,nosocket";
inline constexpr const char* kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The description of a machine. A plain value; the meanings and units stand in include/vmette.h.
struct Config {
  std::string kernel;     // empty: from the assets
  std::string initramfs;  // empty: from the assets
  std::string assets;     // empty: searched
  std::string helper;     // empty: searched
  std::string cmdline = kDefaultCmdline;
  std::variant<std::monostate, RootfsShare, RootfsBlock, RootfsSpec> rootfs;
  wire::EnvList image_env;  // of the root's image; `env` wins
  ProviderList providers;   // the embedding program's own
  std::string cache_dir;    // empty: XDG_CACHE_HOME, HOME
  bool offline = false;
  Progress progress;  // may be empty
  std::vector<Share> shares;
  ShareTransport share_transport = ShareTransport::kAuto;
  std::vector<Disk> disks;
  std::optional<Command> exec;
  wire::EnvList env;
  bool switch_root = false;
  bool net = false;
  bool snapshottable = false;
  bool snapshot_digests = false;
  VsockMode vsock_mode = VsockMode::kAuto;
  uint32_t vsock_port = 0;
  uint32_t guest_vsock_port = 1025;
  uint32_t timeout_seconds = 0;
  uint32_t ready_timeout_ms = 60'000;
  uint32_t vcpus = 1;
  uint32_t resume_shares = 0;
  uint64_t mem_mib = 512;
  std::string build_snapshot;
  std::string resume_snapshot;
  std::string resume_hook_frozen;  // shell lines, empty: none
  std::string resume_hook;
  uint64_t scratch_mib = 0;
  std::string scratch_dir;  // empty: VMETTE_SCRATCH_DIR, /var/tmp
  bool quiet = false;
  bool capture_output = false;
  size_t capture_limit = size_t{1} << 20;
  Accel accel = Accel::kAuto;
  std::string hostname = "vmette";
  std::optional<std::string> ca_certs;  // a directory; empty: none; not set: searched
};

// Paths of what a machine uses become absolute, as seen from the caller's working folder, and the
// scratch directory is the one that the environment names, where the configuration names none.
void settle_paths(Config& config);

// Checks ranges, names, combinations and that files exist. Nothing is started or opened for long.
Result<void> validate(const Config& config);

// Whether its machine is made so that it can be saved.
bool can_be_saved(const Config& config);

// No writable layer over the root.
bool root_is_read_only(const Config& config);

// True for [A-Za-z_][A-Za-z0-9_]*.
bool valid_env_key(const std::string& key);

}  // namespace vmette::core
