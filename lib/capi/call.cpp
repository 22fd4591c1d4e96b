#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "capi/call_handles.h"

namespace vmette::capi {
namespace {

using core::Code;
using core::Error;
using core::Result;
using wire::CallResult;

// As in the name of the function that takes it.
const char* name_of(Answer answer) {
  switch (answer) {
    case Answer::kBuffer:
      return "buffer";
    case Answer::kStat:
      return "stat";
    case Answer::kExists:
      return "exists";
    case Answer::kListing:
      return "listing";
    case Answer::kStats:
      return "stats";
    case Answer::kNone:
      break;
  }
  return "";
}

// What the caller wants is not what the call brings.
Error wrong_answer(Answer answer) {
  if (answer == Answer::kNone)
    return {Code::kState, "the call brings nothing to take; vmette_call_wait() tells how it went"};
  return {Code::kState, fmt::format("the call brings another answer; use vmette_call_take_{}()",
                                    name_of(answer))};
}

bool nothing_there(const Error& error) {
  return error.error_number == ENOENT || error.error_number == ENOTDIR;
}

// The answer of a call that has one of this kind, for whoever comes first.
Result<CallResult> claim(vmette_call& call, Answer wanted) {
  if (call.answer != wanted) return wrong_answer(call.answer);
  if (!call.call->outcome())
    return Error(Code::kState, "the call is not over; wait before you take its answer");
  auto outcome = outcome_of(call);
  if (outcome && call.taken.exchange(true))
    return Error(Code::kState, "the call's answer was taken before; ask again");
  return outcome;
}

}  // namespace

Result<std::unique_ptr<vmette_call>> begin_call(const vmette_session& session, Question question) {
  auto handle = std::make_unique<vmette_call>();
  auto call = session.session->begin_call(std::move(question.spec));
  if (!call) return call.error();
  handle->reactor = session.reactor;
  handle->session = session.session;
  handle->call = call.value();
  handle->answer = question.answer;
  handle->bytes = std::move(question.bytes);
  handle->entries = std::move(question.entries);
  return handle;
}

Result<CallResult> outcome_of(const vmette_call& call) {
  auto outcome = *call.call->outcome();
  if (call.answer == Answer::kExists && !outcome && nothing_there(outcome.error()))
    return CallResult{};
  if (!outcome) return outcome;
  const bool asks_for_file = call.answer == Answer::kStat || call.answer == Answer::kExists;
  if (asks_for_file && !outcome.value().info)
    return Error(Code::kGuest, "the guest's answer has no file in it");
  if (call.answer == Answer::kStats && !outcome.value().stats)
    return Error(Code::kGuest, "the guest's answer has no figures in it");
  return outcome;
}

Result<void> take(vmette_call& call, vmette_buffer** out) {
  BOOST_OUTCOME_TRYV(claim(call, Answer::kBuffer));
  *out = new vmette_buffer{std::move(call.bytes->bytes())};
  return core::success();
}

Result<void> take(vmette_call& call, vmette_stat** out) {
  auto result = claim(call, Answer::kStat);
  if (!result) return result.error();
  *out = new vmette_stat{std::move(*result.value().info)};
  return core::success();
}

Result<void> take(vmette_call& call, vmette_listing** out) {
  BOOST_OUTCOME_TRYV(claim(call, Answer::kListing));
  auto listing = std::make_unique<vmette_listing>();
  auto& entries = call.entries->sorted();
  listing->entries.reserve(entries.size());
  for (wire::FileInfo& entry : entries) listing->entries.push_back(vmette_stat{std::move(entry)});
  *out = listing.release();
  return core::success();
}

Result<void> take(vmette_call& call, vmette_stats** out) {
  auto result = claim(call, Answer::kStats);
  if (!result) return result.error();
  *out = new vmette_stats{*result.value().stats};
  return core::success();
}

Result<void> take(vmette_call& call, bool* out) {
  const auto result = claim(call, Answer::kExists);
  if (!result) return result.error();
  *out = result.value().info.has_value();
  return core::success();
}

}  // namespace vmette::capi

namespace {

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::core::Code;
using vmette::core::Error;
using vmette::core::Result;

// `ask` makes a question of the arguments.
template <class Ask, class... Args>
vmette_error* begin(const char* function, const vmette_session* session, vmette_call** out, Ask ask,
                    Args... args) {
  if (!usable(session)) return unusable(function, "session", session);
  if (out == nullptr) return null_argument(function, "out");
  return guarded([&]() -> Result<void> {
    auto question = ask(function, args...);
    if (!question) return question.error();
    auto call = vmette::capi::begin_call(*session, std::move(question.value()));
    if (!call) return call.error();
    *out = call.value().release();
    return vmette::core::success();
  });
}

template <class T>
vmette_error* take_answer(const char* function, vmette_call* call, T* out) {
  if (!usable(call)) return unusable(function, "call", call);
  if (out == nullptr) return null_argument(function, "out");
  return guarded([&] { return vmette::capi::take(*call, out); });
}

}  // namespace

extern "C" {

vmette_error* vmette_session_begin_read_file(vmette_session* session, const char* path, size_t most,
                                             vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::read_file_question, path, most);
}

vmette_error* vmette_session_begin_write_file(vmette_session* session, const char* path,
                                              const void* data, size_t size,
                                              vmette_file_flags flags, uint32_t mode,
                                              vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::write_file_question, path, data, size, flags,
               mode);
}

vmette_error* vmette_session_begin_stat(vmette_session* session, const char* path,
                                        vmette_file_flags flags, vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::stat_question, path, flags);
}

vmette_error* vmette_session_begin_exists(vmette_session* session, const char* path,
                                          vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::exists_question, path);
}

vmette_error* vmette_session_begin_list(vmette_session* session, const char* path,
                                        vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::list_question, path);
}

vmette_error* vmette_session_begin_mkdir(vmette_session* session, const char* path, uint32_t mode,
                                         vmette_file_flags flags, vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::mkdir_question, path, mode, flags);
}

vmette_error* vmette_session_begin_remove(vmette_session* session, const char* path,
                                          vmette_file_flags flags, vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::remove_question, path, flags);
}

vmette_error* vmette_session_begin_rename(vmette_session* session, const char* path, const char* to,
                                          vmette_file_flags flags, vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::rename_question, path, to, flags);
}

vmette_error* vmette_session_begin_symlink(vmette_session* session, const char* target,
                                           const char* path, vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::symlink_question, target, path);
}

vmette_error* vmette_session_begin_chmod(vmette_session* session, const char* path, uint32_t mode,
                                         vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::chmod_question, path, mode);
}

vmette_error* vmette_session_begin_chown(vmette_session* session, const char* path, int64_t uid,
                                         int64_t gid, vmette_file_flags flags, vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::chown_question, path, uid, gid, flags);
}

vmette_error* vmette_session_begin_set_mtime(vmette_session* session, const char* path,
                                             int64_t mtime_ns, vmette_file_flags flags,
                                             vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::set_mtime_question, path, mtime_ns, flags);
}

vmette_error* vmette_session_begin_stats(vmette_session* session, vmette_call** out) {
  return begin(__func__, session, out, vmette::capi::stats_question);
}

int vmette_call_done_fd(const vmette_call* call) {
  return usable(call) ? call->call->done().fd() : -1;
}

vmette_error* vmette_call_wait(const vmette_call* call, int64_t timeout_ms) {
  if (!usable(call)) return unusable(__func__, "call", call);
  return guarded([&]() -> Result<void> {
    if (!call->call->done().wait(timeout_ms))
      return Error(
          Code::kDeadline,
          fmt::format("the call is not over after {} ms; wait longer, or cancel it", timeout_ms));
    BOOST_OUTCOME_TRYV(vmette::capi::outcome_of(*call));
    return vmette::core::success();
  });
}

vmette_error* vmette_call_take_buffer(vmette_call* call, vmette_buffer** out) {
  return take_answer(__func__, call, out);
}

vmette_error* vmette_call_take_stat(vmette_call* call, vmette_stat** out) {
  return take_answer(__func__, call, out);
}

vmette_error* vmette_call_take_exists(vmette_call* call, bool* out) {
  return take_answer(__func__, call, out);
}

vmette_error* vmette_call_take_listing(vmette_call* call, vmette_listing** out) {
  return take_answer(__func__, call, out);
}

vmette_error* vmette_call_take_stats(vmette_call* call, vmette_stats** out) {
  return take_answer(__func__, call, out);
}

void vmette_call_cancel(vmette_call* call) {
  if (!usable(call)) return;
  (void)guarded([&]() -> Result<void> {
    call->session->post([call = call->call] {
      call->cancel(Error(Code::kCancelled, "the caller gave the call up"));
    });
    return vmette::core::success();
  });
}

void vmette_call_delete(vmette_call* call) {
  if (!usable(call)) return;
  vmette_call_cancel(call);
  delete call;
}

}  // extern "C"
