#include "core/snapshot/snapshot.h"

#include <cstring>

#include "capi/machine_handles.h"
#include "core/snapshot/checks.h"

// Strings that callers borrow are made with the handle.
struct vmette_snapshot {
  vmette::core::Snapshot snapshot;
  std::string manifest;
  uint64_t bytes = 0;
};

namespace {

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::core::Code;
using vmette::core::Config;
using vmette::core::Error;
using vmette::core::Reactor;
using vmette::core::Result;
using vmette::core::Session;
using vmette::core::Snapshot;
using vmette::core::WarmUp;

Result<void> done() {
  return vmette::core::success();
}

std::unique_ptr<vmette_session> handle_of(std::shared_ptr<Reactor> reactor,
                                          std::shared_ptr<Session> session) {
  auto handle = std::make_unique<vmette_session>();
  handle->reactor = std::move(reactor);
  handle->session = std::move(session);
  return handle;
}

Result<void> hand_out(Result<Snapshot> snapshot, vmette_snapshot** out) {
  if (!snapshot) return snapshot.error();
  if (out == nullptr) return done();
  auto handle = std::make_unique<vmette_snapshot>();
  handle->snapshot = std::move(snapshot.value());
  handle->manifest = to_text(handle->snapshot.manifest);
  for (const auto& file : handle->snapshot.manifest.files) handle->bytes += file.size;
  *out = handle.release();
  return done();
}

// The caller's function as the library's; it borrows a handle for the time of the call.
WarmUp warm_up_with(vmette_warm_up function, void* env, const std::shared_ptr<Reactor>& reactor) {
  if (function == nullptr) return {};
  return [=](const std::shared_ptr<Session>& session) -> Result<void> {
    const auto handle = handle_of(reactor, session);
    vmette_error* failure = function(env, handle.get());
    if (failure == nullptr) return done();
    Error error = failure->error;
    vmette_error_delete(failure);
    return error;
  };
}

}  // namespace

extern "C" {

vmette_error* vmette_snapshot_build(const vmette_config* config, const char* path,
                                    vmette_warm_up warm_up, void* env, vmette_snapshot** out) {
  if (config == nullptr) return null_argument(__func__, "config");
  if (path == nullptr) return null_argument(__func__, "path");
  return guarded([&]() -> Result<void> {
    auto reactor = Reactor::get();
    if (!reactor) return reactor.error();
    return hand_out(build_snapshot(*reactor.value(), config->config, path,
                                   warm_up_with(warm_up, env, reactor.value())),
                    out);
  });
}

vmette_error* vmette_session_snapshot(vmette_session* session, const char* path,
                                      vmette_snapshot** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (path == nullptr) return null_argument(__func__, "path");
  return guarded([&] { return hand_out(take_snapshot(*session->session, path), out); });
}

vmette_error* vmette_session_fork(vmette_session* session, size_t count,
                                  const vmette_config* config, vmette_session** sessions) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (sessions == nullptr && count != 0) return null_argument(__func__, "sessions");
  return guarded([&]() -> Result<void> {
    if (count == 0) return done();
    auto copies = fork_session(
        *session->session,
        config == nullptr ? config_for_copies(*session->session) : config->config, count);
    if (!copies) return copies.error();
    std::vector<std::unique_ptr<vmette_session>> handles;
    for (auto& copy : copies.value())
      handles.push_back(handle_of(session->reactor, std::move(copy)));
    for (size_t i = 0; i < count; ++i) sessions[i] = handles[i].release();
    return done();
  });
}

vmette_error* vmette_snapshot_open(const char* path, vmette_snapshot** out) {
  if (path == nullptr) return null_argument(__func__, "path");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&] { return hand_out(vmette::core::open_snapshot(path), out); });
}

void vmette_snapshot_delete(vmette_snapshot* snapshot) {
  delete snapshot;
}

vmette_error* vmette_snapshot_resume(const vmette_snapshot* snapshot, const vmette_config* config,
                                     vmette_session** out) {
  if (snapshot == nullptr) return null_argument(__func__, "snapshot");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto reactor = Reactor::get();
    if (!reactor) return reactor.error();
    auto session = resume_snapshot(*reactor.value(), config == nullptr ? Config() : config->config,
                                   snapshot->snapshot.directory);
    if (!session) return session.error();
    *out = handle_of(reactor.value(), std::move(session.value())).release();
    return done();
  });
}

vmette_error* vmette_snapshot_verify(const vmette_snapshot* snapshot) {
  if (snapshot == nullptr) return null_argument(__func__, "snapshot");
  return guarded([&]() -> Result<void> {
    const auto& [directory, manifest] = snapshot->snapshot;
    for (const auto& file : manifest.files)
      if (file.sha256.empty())
        return Error(Code::kState,
                     vmette::core::one_line("snapshot " + directory + ": the file " + file.name +
                                            " has no digest; build it with snapshot_digests"),
                     "restore");
    BOOST_OUTCOME_TRYV(check_structure(directory, manifest));
    return check_digests(directory, manifest);
  });
}

vmette_error* vmette_snapshot_remove(const char* path) {
  if (path == nullptr) return null_argument(__func__, "path");
  return guarded([&] { return vmette::core::remove_snapshot(path); });
}

const char* vmette_snapshot_path(const vmette_snapshot* snapshot) {
  return snapshot == nullptr ? "" : snapshot->snapshot.directory.c_str();
}

const char* vmette_snapshot_created_at(const vmette_snapshot* snapshot) {
  return snapshot == nullptr ? "" : snapshot->snapshot.manifest.created_at.c_str();
}

const char* vmette_snapshot_manifest(const vmette_snapshot* snapshot) {
  return snapshot == nullptr ? "" : snapshot->manifest.c_str();
}

uint32_t vmette_snapshot_vcpus(const vmette_snapshot* snapshot) {
  return snapshot == nullptr ? 0 : snapshot->snapshot.manifest.vcpus;
}

uint64_t vmette_snapshot_mem_mib(const vmette_snapshot* snapshot) {
  return snapshot == nullptr ? 0 : snapshot->snapshot.manifest.memory_mib;
}

uint64_t vmette_snapshot_pause_us(const vmette_snapshot* snapshot) {
  return snapshot == nullptr ? 0 : snapshot->snapshot.manifest.pause_us;
}

uint64_t vmette_snapshot_bytes(const vmette_snapshot* snapshot) {
  return snapshot == nullptr ? 0 : snapshot->bytes;
}

}  // extern "C"
