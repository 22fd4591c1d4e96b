// The machine that a `create` message describes (docs/vmm-protocol.md), the same struct at both
// ends of the socket.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmette::vmm {

// virtio-mmio devices of one machine: with one more the guest hangs at boot. The control stream
// uses one of them.
inline constexpr size_t kDeviceLimit = 23;
inline constexpr size_t kMaxSerialBytes = 20;     // what a virtio-blk device can report
inline constexpr size_t kMaxTagBytes = 31;        // what a virtio-9p device can report
inline constexpr size_t kMaxCmdlineBytes = 2047;  // what a kernel keeps of its command line
inline constexpr uint32_t kMaxVcpus = 255;
inline constexpr uint32_t kMinMemoryMib = 32;
inline constexpr uint32_t kMaxMemoryMib = 16 * 1024 * 1024;
inline constexpr uint64_t kMinScratchMib = 16;
inline constexpr uint64_t kMaxScratchMib = uint64_t{16} * 1024 * 1024;  // of ext4, a little less

enum class Arch : uint8_t { kX86_64, kAarch64 };
enum class Accel : uint8_t {
  kAuto,  // KVM where it works, else emulation
  kKvm,   // KVM or an error
  kTcg,   // emulation
};

std::string_view name_of(Arch arch);
std::string_view name_of(Accel accel);
std::optional<Arch> arch_named(std::string_view name);
std::optional<Accel> accel_named(std::string_view name);
// What this program was compiled for.
Arch host_arch();

// The serial of the disk that is the root; errors speak of it as rootfs.
inline constexpr const char* kRootSerial = "vmette-root";

// A raw disk image or block device; the guest finds it by its serial.
struct Disk {
  std::string path;
  std::string serial;
  bool read_only = false;
  // A directory: the machine writes to a copy of the image there, which has no name and is gone
  // with it. Empty: to the image itself.
  std::string copy_in = {};

  bool operator==(const Disk&) const = default;
};

// An ext4 disk that is made for this machine and gone with it: a sparse file without a name.
struct Scratch {
  std::string directory;  // on the file system that pays for it
  std::string serial;
  uint64_t mib = 0;
  std::string image = {};  // what it begins as a copy of, of `mib`; empty: an empty file system

  bool operator==(const Scratch&) const = default;
};

// How a share reaches the guest.
enum class ShareTransport : uint8_t {
  kAuto,      // virtio-fs where virtiofsd can start, else 9p
  kVirtiofs,  // virtio-fs or an error
  k9p,
};

std::string_view name_of(ShareTransport transport);
std::optional<ShareTransport> share_transport_named(std::string_view name);

// A host directory offered to the guest under a tag. `stable`: nobody changes it while the machine
// lives, so the guest may keep for ever what it has read.
struct Share {
  std::string tag;
  // Empty, in a machine that can be saved: reserved, an empty directory until a machine that is
  // restored from the snapshot has another there.
  std::string path;
  bool read_only = false;
  ShareTransport transport = ShareTransport::kAuto;
  bool stable = false;

  bool operator==(const Share&) const = default;
};

struct Machine {
  std::string version;   // of the library
  pid_t parent_pid = 0;  // the machine ends when this process does
  Arch arch = host_arch();
  std::string kernel;     // absolute path
  std::string initramfs;  // absolute path, or empty for none
  std::string cmdline;    // the base; the helper appends what the machine needs
  uint32_t vcpus = 1;
  uint32_t memory_mib = 512;
  Accel accel = Accel::kAuto;
  std::string qemu;  // program; empty: VMETTE_QEMU, then PATH
  std::vector<Disk> disks;
  std::optional<Scratch> scratch;
  std::vector<Share> shares;
  bool snapshottable = false;  // can be saved
  // Absolute path of a snapshot's directory, whose `ram` and `devices` the machine goes on from;
  // empty: it boots. `cmdline` is then the whole line. Implies snapshottable.
  std::string restore;

  [[nodiscard]] bool can_be_saved() const { return snapshottable || !restore.empty(); }
  bool operator==(const Machine&) const = default;
};

// The first thing that is wrong with the machine, as one line that names the field, the value and
// what would be right; nothing when all is well. Looks at no file.
std::optional<std::string> validate(const Machine& machine);

// Why the machine can never be saved, as one line that names the device and the way out; nothing
// when it can, were it `snapshottable`. Looks at the disks to tell block devices from files.
std::optional<std::string> why_not_snapshottable(const Machine& machine);

// The fields of a `create` message. The machine must be valid: JSON holds UTF-8 only.
nlohmann::json to_json(const Machine& machine);

// Fills `machine` from the fields of a `create` message and validates it; `id` and `op` are not
// looked at. Returns what is wrong as validate() does, and then leaves `machine` half filled. A
// field that nobody knows is an error: it would be a promise that is not kept.
std::optional<std::string> from_json(const nlohmann::json& fields, Machine& machine);

}  // namespace vmette::vmm
