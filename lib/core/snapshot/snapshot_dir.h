// The directory of a snapshot: made under a temporary name, renamed once it is complete.
//
// A temporary directory is .<name>.vmette-<16 hexadecimal digits>, next to where the snapshot will
// be. Whoever works on it holds a shared lock (flock) on it; one without a lock was left by a
// process that was killed, and is swept by the next draft there.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "core/fork_guard.h"
#include "core/progress.h"
#include "core/snapshot/manifest.h"

namespace vmette::core {

// A snapshot that is being made. What it made is removed at the end, unless it was committed.
class SnapshotDraft {
 public:
  // For a snapshot at `path`, which must not exist (kSnapshot), in a directory that can be written.
  // Sweeps that directory. Makes nothing yet.
  static Result<SnapshotDraft> create(const std::string& path);
  // Without a place of its own: it lives in `directory` under a temporary name, also once it is
  // committed, and is gone with this object.
  static Result<SnapshotDraft> create_private(const std::string& directory);

  SnapshotDraft(SnapshotDraft&& other) noexcept;
  SnapshotDraft& operator=(SnapshotDraft&& other) noexcept;
  ~SnapshotDraft();

  // Absolute. Until commit() the temporary name, which the helper makes (`save`); afterwards where
  // the snapshot is.
  [[nodiscard]] std::string directory() const;
  // `path` of create() as it was given, for messages.
  [[nodiscard]] const std::string& target() const { return target_; }

  // Takes the directory over from the helper that made it: holds the lock from now on. To be called
  // once the helper says that it has saved; commit() and put_file() do it too.
  Result<void> adopt();

  // A file of the host as the snapshot's `name`: a hard link, else a reflink, else a copy.
  Result<void> put_file(const std::string& source, const std::string& name,
                        const Progress& progress = {});

  // Completes the snapshot: lists its files in the manifest (with digests on request), writes the
  // manifest last and moves the directory to its place. kSnapshot when something has come there
  // meanwhile. A private draft stays where it is.
  Result<void> commit(SnapshotManifest manifest, bool digests = false,
                      const Progress& progress = {});
  [[nodiscard]] bool committed() const { return committed_; }

 private:
  SnapshotDraft() = default;
  static Result<SnapshotDraft> open_parent(const std::string& parent, const std::string& target);
  Result<void> move_to(const std::string& name);
  void discard() noexcept;

  std::string parent_;  // absolute
  std::string name_;    // in the parent, now
  std::string final_;   // in the parent, once committed; empty: private
  std::string target_;  // as the caller wrote it
  HeldFd parent_fd_;    // with a shared lock until adopt(), which keeps sweepers out
  HeldFd fd_;           // of the directory, once adopted, with a shared lock
  bool committed_ = false;
};

// Removes what killed processes left in a directory. Never fails: what cannot be removed stays.
void sweep_snapshots(const std::string& directory);

// Removes the snapshot at `path`, or a temporary directory of one. Renamed aside first, so that it
// is never half there; machines that run from it go on. kSnapshot when there is no snapshot at
// `path`, or when the directory holds something that is not of a snapshot.
Result<void> remove_snapshot(const std::string& path);

}  // namespace vmette::core
