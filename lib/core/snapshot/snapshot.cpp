#include "core/snapshot/snapshot.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

#include "core/disks.h"
#include "core/snapshot/checks.h"
#include "core/snapshot/digest.h"
#include "core/snapshot/restore.h"
#include "wire/codec.h"

namespace vmette::core {
namespace {

constexpr size_t kWarmUpOutputBytes = size_t{64} * 1024;
constexpr size_t kWarmUpWordsBytes = 400;

// Ends the session at the end of the scope, whatever became of it.
struct EndAtLast {
  explicit EndAtLast(std::shared_ptr<Session> one) : session(std::move(one)) {}
  EndAtLast(const EndAtLast&) = delete;
  EndAtLast& operator=(const EndAtLast&) = delete;
  ~EndAtLast() {
    if (!session) return;
    session->request_kill();
    (void)session->wait(-1);
  }
  std::shared_ptr<Session> session;
};

// Where the image can be read, also when its name is gone.
std::string path_of(const RootfsBlock& block, int held) {
  struct stat by_name{};
  struct stat by_fd{};
  const bool same = stat(block.path.c_str(), &by_name) == 0 && fstat(held, &by_fd) == 0 &&
                    by_name.st_dev == by_fd.st_dev && by_name.st_ino == by_fd.st_ino;
  return same ? block.path : fmt::format("/proc/self/fd/{}", held);
}

// Only of what the machine has had all the while: another content is not what its memory knows.
Result<void> add_digest(const std::string& path, FileStamp& stamp) {
  if (!stamp.sha256.empty()) return success();
  auto now = stamp_of(path);
  if (!now) return now.error();
  if (now.value() != stamp)
    return Error(
        Code::kSnapshot,
        one_line(fmt::format("the image '{}' was replaced or written while the machine ran; "
                             "keep it as it is",
                             path)),
        "save");
  auto digest = sha256_of_file(path);
  if (!digest) return digest.error();
  stamp.sha256 = std::move(digest.value());
  return success();
}

void describe_shares(const Config& config, SnapshotManifest& manifest) {
  for (const Share& share : config.shares)
    manifest.shares.push_back(
        {share.tag, share.path, mount_point(share), share.read_only, share.device});
  manifest.resume_shares = config.resume_shares;
}

Result<void> describe_images(const Config& config, SnapshotManifest& manifest) {
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs)) {
    manifest.root = {true, block->fstype, block->packed ? kRootFile : block->path, block->stamp,
                     block->read_only};
    // The digests of the snapshot's files have that of a packed root.
    if (config.snapshot_digests && !block->packed) {
      BOOST_OUTCOME_TRYV(add_digest(block->path, manifest.root.stamp));
    }
  }
  // The helper counts the root among the disks.
  const uint32_t first = std::holds_alternative<RootfsBlock>(config.rootfs) ? 1 : 0;
  for (uint32_t i = 0; i < config.disks.size(); ++i) {
    const Disk& disk = config.disks[i];
    manifest.disks.push_back({disk_id(config, i), disk.path, disk.read_only, disk.fstype,
                              disk.stamp, disk.read_only ? "" : disk_file(first + i)});
  }
  for (SnapshotDisk& disk : manifest.disks) {
    if (!config.snapshot_digests || !disk.read_only) continue;
    BOOST_OUTCOME_TRYV(add_digest(disk.path, disk.stamp));
  }
  if (config.scratch_mib != 0) manifest.scratch = SnapshotScratch{config.scratch_mib, kScratchFile};
  return success();
}

Result<SnapshotManifest> describe(const Session& session, const SavedMachine& saved) {
  const Config& config = session.config();
  SnapshotManifest manifest;
  manifest.created_at = rfc3339_now();
  manifest.identity = session.identity();
  BOOST_OUTCOME_TRYV(describe_boot_files(session.boot_files(), manifest));
  manifest.protocol = wire::kGeneration;
  manifest.cmdline = session.cmdline();
  manifest.vcpus = config.vcpus;
  manifest.memory_mib = config.mem_mib;
  BOOST_OUTCOME_TRYV(describe_images(config, manifest));
  describe_shares(config, manifest);
  manifest.switch_root = config.switch_root;
  manifest.hostname = config.hostname;
  manifest.env = config.env;
  manifest.image_env = config.image_env;
  manifest.pause_us = saved.pause_us;
  return manifest;
}

// What of a session that was not made for it stands in the way.
std::string why_not_saved(const Config& config) {
  if (std::holds_alternative<RootfsShare>(config.rootfs)) return "its root is a shared directory";
  if (!config.shares.empty())
    return fmt::format("the share '{}' may go over virtio-fs", config.shares[0].tag);
  return "its memory is no file";
}

Result<void> run_warm_up_command(Session& session, const Command& command) {
  ProcessSpec spec;
  spec.exec.argv = command.argv;
  spec.exec.shell = command.shell;
  spec.out = OutputMode::kCapture;
  spec.err = OutputMode::kCapture;
  spec.capture_limit = kWarmUpOutputBytes;
  auto process = session.exec(std::move(spec));
  if (!process) return process.error();
  (void)process.value()->complete().wait(-1);
  if (const auto failure = process.value()->failure()) return *failure;
  const auto exit = process.value()->exit();
  if (exit && !exit->signalled && exit->status == 0) return success();
  std::string words = process.value()->captured().combined.data;
  if (words.size() > kWarmUpWordsBytes) words.erase(0, words.size() - kWarmUpWordsBytes);
  return Error(Code::kSnapshot,
               one_line(fmt::format(
                   "exec: the warm-up command ended with {} {}, so nothing was saved: {}",
                   exit && exit->signalled ? "signal" : "code", exit ? exit->status : 0, words)),
               "warm-up");
}

}  // namespace

Result<Snapshot> open_snapshot(const std::string& path) {
  auto restore = open_restore(path);
  if (!restore) return restore.error();
  return Snapshot{std::move(restore.value().directory), std::move(restore.value().manifest)};
}

Result<Snapshot> take_snapshot(Session& session, SnapshotDraft& draft) {
  const Config& config = session.config();
  if (!can_be_saved(config))
    return Error(Code::kSnapshot,
                 one_line(fmt::format("the session's machine cannot be saved: {}; set "
                                      "snapshottable before it starts",
                                      why_not_saved(config))),
                 "save");
  auto saved = session.save(draft.directory());
  if (!saved) return saved.error();
  BOOST_OUTCOME_TRYV(draft.adopt());
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs); block && block->packed) {
    BOOST_OUTCOME_TRYV(draft.put_file(path_of(*block, session.packed_root_fd()), kRootFile));
  }
  auto manifest = describe(session, saved.value());
  if (!manifest) return manifest.error();
  BOOST_OUTCOME_TRYV(draft.commit(manifest.value(), config.snapshot_digests));
  auto written = read_manifest(draft.directory());
  if (!written) return written.error();
  return Snapshot{draft.directory(), std::move(written.value())};
}

Result<Snapshot> take_snapshot(Session& session, const std::string& path) {
  auto draft = SnapshotDraft::create(path);
  if (!draft) return draft.error();
  return take_snapshot(session, draft.value());
}

Result<Snapshot> build_snapshot(Reactor& reactor, Config config, const std::string& path,
                                const WarmUp& warm_up) {
  auto draft = SnapshotDraft::create(path);
  if (!draft) return draft.error();
  const auto command = std::exchange(config.exec, std::nullopt);
  config.build_snapshot.clear();
  config.snapshottable = true;
  auto session = Session::create(reactor, std::move(config));
  if (!session) return session.error();
  BOOST_OUTCOME_TRYV(session.value()->launch());
  const EndAtLast end(session.value());
  BOOST_OUTCOME_TRYV(end.session->wait_ready(-1));
  if (command) {
    BOOST_OUTCOME_TRYV(run_warm_up_command(*end.session, *command));
  }
  if (warm_up) {
    BOOST_OUTCOME_TRYV(warm_up(end.session));
  }
  return take_snapshot(*end.session, draft.value());
}

Result<std::shared_ptr<Session>> resume_snapshot(Reactor& reactor, Config config,
                                                 const std::string& directory) {
  config.resume_snapshot = directory;
  auto session = Session::create(reactor, std::move(config));
  if (!session) return session.error();
  BOOST_OUTCOME_TRYV(session.value()->launch());
  BOOST_OUTCOME_TRYV(session.value()->wait_ready(-1));
  return session;
}

Config config_for_copies(const Session& session) {
  const Config& from = session.config();
  Config config;
  config.assets = from.assets;
  config.helper = from.helper;
  config.scratch_dir = from.scratch_dir;
  config.ready_timeout_ms = from.ready_timeout_ms;
  return config;
}

Result<std::vector<std::shared_ptr<Session>>> fork_session(Session& session, Config config,
                                                           size_t count) {
  auto draft = SnapshotDraft::create_private(session.config().scratch_dir);
  if (!draft) return draft.error();
  auto snapshot = take_snapshot(session, draft.value());
  if (!snapshot) return snapshot.error();
  config.exec.reset();
  config.resume_snapshot = snapshot.value().directory;
  std::vector<std::shared_ptr<Session>> copies;
  std::vector<std::unique_ptr<EndAtLast>> ends;
  for (size_t i = 0; i < count; ++i) {
    auto copy = Session::create(session.reactor(), config);
    if (!copy) return copy.error();
    BOOST_OUTCOME_TRYV(copy.value()->launch());
    ends.push_back(std::make_unique<EndAtLast>(copy.value()));
  }
  for (const auto& end : ends) {
    BOOST_OUTCOME_TRYV(end->session->wait_ready(-1));
  }
  for (auto& end : ends) copies.push_back(std::exchange(end->session, nullptr));
  return copies;
}

}  // namespace vmette::core
