#include "capi/machine_handles.h"
#include "core/run.h"

namespace {

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::capi::value_or;
using vmette::core::EndKind;
using vmette::core::Reactor;
using vmette::core::Result;
using vmette::core::Session;
using vmette::core::State;

static_assert(static_cast<int32_t>(State::kPaused) == VMETTE_STATE_PAUSED);
static_assert(static_cast<int32_t>(State::kEnded) == VMETTE_STATE_ENDED);
static_assert(static_cast<int32_t>(EndKind::kExited) == VMETTE_END_EXITED);
static_assert(static_cast<int32_t>(EndKind::kError) == VMETTE_END_ERROR);

Result<void> done() {
  return vmette::core::success();
}

void wait_for_end(const Session& session) {
  if (session.state() != State::kCreated) (void)session.end_event().wait(-1);
}

// Keeps a copy of `text` in the handle, once it is there; a caller borrows it.
const char* lend(const vmette_session& handle, const std::string*& slot, std::string text) {
  const std::lock_guard lock(handle.mutex);
  if (slot == nullptr && !text.empty()) slot = &handle.lent.emplace_back(std::move(text));
  return slot == nullptr ? "" : slot->c_str();
}

// Copies what the session has added to its timeline; entries that are there never move.
void sync_timeline(const vmette_session& handle) {
  const auto entries = handle.session->timeline();
  for (size_t i = handle.timeline.size(); i < entries.size(); ++i)
    handle.timeline.push_back(entries[i]);
}

}  // namespace

extern "C" {

vmette_error* vmette_session_new(const vmette_config* config, vmette_session** out) {
  if (config == nullptr) return null_argument(__func__, "config");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    if (!config->config.build_snapshot.empty())
      return vmette::core::Error(
          vmette::core::Code::kInvalidConfig,
          vmette::core::one_line("build_snapshot: '" + config->config.build_snapshot +
                                 "' is for vmette_run(); a session saves itself with "
                                 "vmette_session_snapshot()"),
          "config");
    auto reactor = Reactor::get();
    if (!reactor) return reactor.error();
    auto session = Session::create(*reactor.value(), config->config);
    if (!session) return session.error();
    auto handle = std::make_unique<vmette_session>();
    handle->reactor = reactor.value();
    handle->session = session.value();
    *out = handle.release();
    return done();
  });
}

void vmette_session_delete(vmette_session* session) {
  if (!usable(session)) return;
  (void)guarded([&]() -> Result<void> {
    session->session->request_kill();
    wait_for_end(*session->session);
    return done();
  });
  session->session.reset();
  delete session;
}

vmette_error* vmette_session_start(vmette_session* session) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(session->session->launch());
    return session->session->wait_ready(-1);
  });
}

vmette_error* vmette_session_launch(vmette_session* session) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&] { return session->session->launch(); });
}

vmette_error* vmette_session_wait_ready(vmette_session* session, int64_t timeout_ms) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&] { return session->session->wait_ready(timeout_ms); });
}

vmette_error* vmette_session_wait(vmette_session* session, int64_t timeout_ms) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&] { return session->session->wait(timeout_ms); });
}

vmette_error* vmette_session_stop(vmette_session* session, uint32_t grace_ms) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&]() -> Result<void> {
    session->session->request_stop(grace_ms);
    wait_for_end(*session->session);
    return done();
  });
}

vmette_error* vmette_session_kill(vmette_session* session) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&]() -> Result<void> {
    session->session->request_kill();
    wait_for_end(*session->session);
    return done();
  });
}

vmette_error* vmette_session_request_stop(vmette_session* session, uint32_t grace_ms) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&]() -> Result<void> {
    session->session->request_stop(grace_ms);
    return done();
  });
}

vmette_error* vmette_session_request_kill(vmette_session* session) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&]() -> Result<void> {
    session->session->request_kill();
    return done();
  });
}

vmette_state vmette_session_state(const vmette_session* session) {
  return usable(session) ? static_cast<vmette_state>(session->session->state())
                         : VMETTE_STATE_CREATED;
}

vmette_end vmette_session_end(const vmette_session* session) {
  if (!usable(session)) return VMETTE_END_NONE;
  return value_or<vmette_end>(
      VMETTE_END_NONE, [&] { return static_cast<vmette_end>(session->session->end().kind); });
}

int32_t vmette_session_exit_code(const vmette_session* session) {
  if (!usable(session)) return -1;
  return value_or<int32_t>(-1, [&] { return session->session->end().exit_code; });
}

const char* vmette_session_end_message(const vmette_session* session) {
  if (!usable(session)) return "";
  return value_or<const char*>(
      "", [&] { return lend(*session, session->end_message, session->session->end().message); });
}

const char* vmette_session_cmdline(const vmette_session* session) {
  if (!usable(session)) return "";
  return value_or<const char*>(
      "", [&] { return lend(*session, session->cmdline, session->session->cmdline()); });
}

uint32_t vmette_session_vsock_port(const vmette_session*) {
  // VMETTE_VSOCK_AUTO finds no vsock device in this version's machines, and a fixed port is
  // refused.
  return 0;
}

int vmette_session_ready_fd(const vmette_session* session) {
  return usable(session) ? session->session->ready_event().fd() : -1;
}

int vmette_session_end_fd(const vmette_session* session) {
  return usable(session) ? session->session->end_event().fd() : -1;
}

size_t vmette_session_timeline_count(const vmette_session* session) {
  if (!usable(session)) return 0;
  return value_or<size_t>(0, [&] { return session->session->timeline().size(); });
}

const char* vmette_session_timeline_name(const vmette_session* session, size_t index) {
  if (!usable(session)) return nullptr;
  return value_or<const char*>(nullptr, [&]() -> const char* {
    const std::lock_guard lock(session->mutex);
    sync_timeline(*session);
    return index < session->timeline.size() ? session->timeline[index].name.c_str() : nullptr;
  });
}

uint64_t vmette_session_timeline_us(const vmette_session* session, size_t index) {
  if (!usable(session)) return 0;
  return value_or<uint64_t>(0, [&]() -> uint64_t {
    const std::lock_guard lock(session->mutex);
    sync_timeline(*session);
    return index < session->timeline.size() ? session->timeline[index].at_us : 0;
  });
}

vmette_error* vmette_session_output(const vmette_session* session, vmette_output** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    if (!session->session->config().capture_output)
      return vmette::core::Error(
          vmette::core::Code::kState,
          "the session does not capture its output; set capture_output in its configuration");
    *out = new vmette_output{vmette::core::output_of(*session->session)};
    return done();
  });
}

vmette_error* vmette_session_pause(vmette_session* session) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&] { return session->session->pause(); });
}

vmette_error* vmette_session_unpause(vmette_session* session) {
  if (!usable(session)) return unusable(__func__, "session", session);
  return guarded([&] { return session->session->unpause(); });
}

vmette_error* vmette_session_console(const vmette_session* session, vmette_buffer** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    *out = new vmette_buffer{session->session->console()};
    return done();
  });
}

}  // extern "C"
