// Saving machines as snapshots, and machines that start from them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/error.h"
#include "core/reactor.h"
#include "core/session.h"
#include "core/snapshot/manifest.h"
#include "core/snapshot/snapshot_dir.h"

namespace vmette::core {

// What is in a snapshot's directory. Holds nothing open there.
struct Snapshot {
  std::string directory;  // absolute
  SnapshotManifest manifest;
};

// Prepares a machine before it is saved.
using WarmUp = std::function<Result<void>(const std::shared_ptr<Session>&)>;

// Its manifest and files are there and whole.
Result<Snapshot> open_snapshot(const std::string& path);

// Saves a session that is ready into the draft, and completes the draft.
Result<Snapshot> take_snapshot(Session& session, SnapshotDraft& draft);
Result<Snapshot> take_snapshot(Session& session, const std::string& path);

// Boots, runs the configuration's command and `warm_up`, which may be empty, saves, ends.
Result<Snapshot> build_snapshot(Reactor& reactor, Config config, const std::string& path,
                                const WarmUp& warm_up);

// A session that starts from the snapshot and is ready. `config` as for a resume.
Result<std::shared_ptr<Session>> resume_snapshot(Reactor& reactor, Config config,
                                                 const std::string& directory);

// Sessions that begin as this one is now, all of them ready, or none.
Result<std::vector<std::shared_ptr<Session>>> fork_session(Session& session, Config config,
                                                           size_t count);

// What a copy of the session's machine takes over from the session beside the machine.
Config config_for_copies(const Session& session);

}  // namespace vmette::core
