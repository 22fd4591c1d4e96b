#include "capi/call_handles.h"

namespace {

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::core::Result;

// Asks and waits for the answer, at most `timeout_ms`. `ask` makes a question of the arguments.
template <class Ask, class... Args>
Result<std::unique_ptr<vmette_call>> finished(const char* function, const vmette_session& session,
                                              int64_t timeout_ms, Ask ask, Args... args) {
  auto question = ask(function, args...);
  if (!question) return question.error();
  auto call = vmette::capi::begin_call(session, std::move(question.value()));
  if (call) session.session->finish_call(call.value()->call, timeout_ms);
  return call;
}

// A call of which only success or failure matters.
template <class Ask, class... Args>
vmette_error* tell(const char* function, const vmette_session* session, int64_t timeout_ms, Ask ask,
                   Args... args) {
  if (!usable(session)) return unusable(function, "session", session);
  return guarded([&]() -> Result<void> {
    auto call = finished(function, *session, timeout_ms, ask, args...);
    if (!call) return call.error();
    BOOST_OUTCOME_TRYV(vmette::capi::outcome_of(*call.value()));
    return vmette::core::success();
  });
}

template <class T, class Ask, class... Args>
vmette_error* answer(const char* function, const vmette_session* session, int64_t timeout_ms,
                     T* out, Ask ask, Args... args) {
  if (!usable(session)) return unusable(function, "session", session);
  if (out == nullptr) return null_argument(function, "out");
  return guarded([&]() -> Result<void> {
    auto call = finished(function, *session, timeout_ms, ask, args...);
    if (!call) return call.error();
    return vmette::capi::take(*call.value(), out);
  });
}

}  // namespace

extern "C" {

vmette_error* vmette_session_read_file(vmette_session* session, const char* path, size_t most,
                                       int64_t timeout_ms, vmette_buffer** out) {
  return answer(__func__, session, timeout_ms, out, vmette::capi::read_file_question, path, most);
}

vmette_error* vmette_session_write_file(vmette_session* session, const char* path, const void* data,
                                        size_t size, vmette_file_flags flags, uint32_t mode,
                                        int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::write_file_question, path, data, size,
              flags, mode);
}

vmette_error* vmette_session_stat(vmette_session* session, const char* path,
                                  vmette_file_flags flags, int64_t timeout_ms, vmette_stat** out) {
  return answer(__func__, session, timeout_ms, out, vmette::capi::stat_question, path, flags);
}

vmette_error* vmette_session_exists(vmette_session* session, const char* path, int64_t timeout_ms,
                                    bool* out) {
  return answer(__func__, session, timeout_ms, out, vmette::capi::exists_question, path);
}

vmette_error* vmette_session_list(vmette_session* session, const char* path, int64_t timeout_ms,
                                  vmette_listing** out) {
  return answer(__func__, session, timeout_ms, out, vmette::capi::list_question, path);
}

vmette_error* vmette_session_mkdir(vmette_session* session, const char* path, uint32_t mode,
                                   vmette_file_flags flags, int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::mkdir_question, path, mode, flags);
}

vmette_error* vmette_session_remove(vmette_session* session, const char* path,
                                    vmette_file_flags flags, int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::remove_question, path, flags);
}

vmette_error* vmette_session_rename(vmette_session* session, const char* path, const char* to,
                                    vmette_file_flags flags, int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::rename_question, path, to, flags);
}

vmette_error* vmette_session_symlink(vmette_session* session, const char* target, const char* path,
                                     int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::symlink_question, target, path);
}

vmette_error* vmette_session_chmod(vmette_session* session, const char* path, uint32_t mode,
                                   int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::chmod_question, path, mode);
}

vmette_error* vmette_session_chown(vmette_session* session, const char* path, int64_t uid,
                                   int64_t gid, vmette_file_flags flags, int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::chown_question, path, uid, gid, flags);
}

vmette_error* vmette_session_set_mtime(vmette_session* session, const char* path, int64_t mtime_ns,
                                       vmette_file_flags flags, int64_t timeout_ms) {
  return tell(__func__, session, timeout_ms, vmette::capi::set_mtime_question, path, mtime_ns,
              flags);
}

vmette_error* vmette_session_stats(vmette_session* session, int64_t timeout_ms,
                                   vmette_stats** out) {
  return answer(__func__, session, timeout_ms, out, vmette::capi::stats_question);
}

}  // extern "C"
