// Whether a snapshot can be resumed on this host. Every failure is kRestoreFailed and reads
// "snapshot PATH: FIELD: the snapshot has X, this host has Y; REMEDY".
#pragma once

#include <string>

#include "core/error.h"
#include "core/progress.h"
#include "core/snapshot/manifest.h"

namespace vmette::core {

// What a resume would run with on this host.
struct HostIdentity {
  MachineIdentity identity;
  BootFile kernel;     // see boot_file()
  BootFile initramfs;  // likewise
  uint32_t protocol = 0;
};

// Size, time and inode of a file or block device; no digest.
Result<FileStamp> stamp_of(const std::string& path);
// The same for a kernel or initramfs, which may be copied: without the inode. Empty path: none.
Result<BootFile> boot_file(const std::string& path);

// Hypervisor, boot files, protocol: all of it, the time stamp counter within 0.1 %. A boot file is
// the same when its size and its time are, or its size and its digest, which is computed when it is
// needed.
Result<void> check_identity(const std::string& path, const SnapshotManifest& manifest,
                            const HostIdentity& host);

// Lower images, the root's and read-only disks', must be what they were at the save: what the
// clones' memory holds of them would not fit another content.
Result<void> check_images(const std::string& path, const SnapshotManifest& manifest);

// Every file is there, a regular file, of its size; memory and device state look like such. Follows
// no link. Quick: reads no content.
Result<void> check_files(const std::string& path, const SnapshotManifest& manifest);

// The same, and the manifest is as it was written.
Result<void> check_structure(const std::string& path, const SnapshotManifest& manifest);

// Reads every file whose digest the manifest has, and compares.
Result<void> check_digests(const std::string& path, const SnapshotManifest& manifest,
                           const Progress& progress = {});

// Files that the manifest names get their digests.
Result<void> add_digests(const std::string& path, SnapshotManifest& manifest,
                         const Progress& progress = {});

// Everything before a resume, in this order: identity, images, structure.
Result<void> check_snapshot(const std::string& path, const SnapshotManifest& manifest,
                            const HostIdentity& host);

}  // namespace vmette::core
