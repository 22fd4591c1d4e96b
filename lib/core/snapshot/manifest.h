// What a snapshot's manifest.json says (docs/snapshots.md), as a plain value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "wire/messages.h"

namespace vmette::core {

inline constexpr uint32_t kSnapshotFormat = 1;
inline constexpr const char* kManifestFile = "manifest.json";
// The other files of a snapshot; a writable disk's is named by disk_file().
inline constexpr const char* kRamFile = "ram";
inline constexpr const char* kDevicesFile = "devices";
inline constexpr const char* kScratchFile = "scratch";
inline constexpr const char* kRootFile = "root.squashfs";
std::string disk_file(uint32_t index);  // "disk3"
// One of the five above. The manifest itself is none.
bool is_snapshot_file(std::string_view name);

// What runs the machine; a saved one goes on only where all of it is the same.
struct MachineIdentity {
  std::string hypervisor;  // "qemu"
  std::string version;     // of the hypervisor
  std::string machine;     // "microvm", "virt"
  std::string accel;       // "tcg", "kvm"
  std::string arch;        // "x86_64", "aarch64"
  std::string cpu;         // model and, under KVM, features
  uint64_t tsc_khz = 0;    // 0: of no concern

  bool operator==(const MachineIdentity&) const = default;
};

// Tells one content of a file from another.
struct FileStamp {
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;  // 0: of no concern
  std::string sha256;  // empty: not known

  bool operator==(const FileStamp&) const = default;
};

// Kernel or initramfs. Empty path: there is none.
struct BootFile {
  std::string path;
  FileStamp stamp;  // inode 0: a copy of the file is as good

  bool operator==(const BootFile&) const = default;
};

struct SnapshotRoot {
  bool image = false;  // else the initramfs, and all the rest is empty
  std::string fstype;
  std::string path;  // absolute, or kRootFile: the file in the snapshot
  FileStamp stamp;
  bool read_only = false;

  bool operator==(const SnapshotRoot&) const = default;
};

struct SnapshotDisk {
  std::string id;
  std::string path;  // absolute, on the host that saved
  bool read_only = false;
  std::string fstype;
  FileStamp stamp;
  std::string file;  // disk_file() of a writable one, else empty

  bool operator==(const SnapshotDisk&) const = default;
};

struct SnapshotScratch {
  uint64_t mib = 0;
  std::string file = kScratchFile;

  bool operator==(const SnapshotScratch&) const = default;
};

struct SnapshotShare {
  std::string tag;
  std::string path;
  std::string target;
  bool read_only = false;
  std::string device = {};  // the guest's name of it; empty: from the tag

  bool operator==(const SnapshotShare&) const = default;
};

struct SnapshotFile {
  std::string name;
  uint64_t size = 0;
  std::string sha256;  // empty: not asked for

  bool operator==(const SnapshotFile&) const = default;
};

struct SnapshotManifest {
  std::string vmette = VMETTE_VERSION;
  std::string created_at;  // RFC 3339, UTC, milliseconds: see rfc3339_now()
  MachineIdentity identity;
  BootFile kernel;
  BootFile initramfs;
  uint32_t protocol = 0;  // wire::kGeneration
  std::string cmdline;    // the whole line
  uint32_t vcpus = 1;
  uint64_t memory_mib = 0;
  SnapshotRoot root;
  std::vector<SnapshotDisk> disks;
  std::optional<SnapshotScratch> scratch;
  std::vector<SnapshotShare> shares;
  uint32_t resume_shares = 0;
  bool switch_root = false;
  std::string hostname;
  wire::EnvList env;
  wire::EnvList image_env;
  std::vector<SnapshotFile> files;  // SnapshotDraft::commit() fills it
  uint64_t pause_us = 0;
  std::string digest;  // as it was read; a manifest that is written gets its own

  bool operator==(const SnapshotManifest&) const = default;
};

// "2026-11-29T21:18:36.042Z"
std::string rfc3339_now();

// SHA-256 over the canonical form of all but `digest`.
std::string manifest_digest(const SnapshotManifest& manifest);

// The text of manifest.json. Strings may hold any byte.
std::string to_text(const SnapshotManifest& manifest);

// Reads what to_text() wrote, and nothing else: a missing, unknown or mistyped key, a value out of
// its range or a name that is none of a snapshot's is kRestoreFailed; the message names the
// snapshot's `path` and the key. The digest is not compared: see check_structure().
Result<SnapshotManifest> parse_manifest(const std::string& text, const std::string& path);

// Of the snapshot in a directory. kSnapshot when there is none.
Result<SnapshotManifest> read_manifest(const std::string& directory);

}  // namespace vmette::core
