#include <fmt/format.h>
#include <sys/types.h>

#include <cerrno>
#include <utility>

#include "capi/file_handles.h"
#include "capi/machine_handles.h"
#include "core/listing.h"

namespace {

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::core::BytesSink;
using vmette::core::CallSpec;
using vmette::core::Code;
using vmette::core::Error;
using vmette::core::ListingSink;
using vmette::core::Result;
using vmette::wire::Call;
namespace op = vmette::wire::op;

constexpr uint32_t kMostMode = 07777;

static_assert(VMETTE_FILE_FOLLOW == vmette::wire::kCallFollow);
static_assert(VMETTE_FILE_PARENTS == vmette::wire::kCallParents);
static_assert(VMETTE_FILE_RECURSIVE == vmette::wire::kCallRecursive);
static_assert(VMETTE_FILE_APPEND == vmette::wire::kCallAppend);
static_assert(VMETTE_FILE_EXCLUSIVE == vmette::wire::kCallExclusive);
static_assert(VMETTE_FILE_ATOMIC == vmette::wire::kCallAtomic);

Result<void> done() {
  return vmette::core::success();
}

// A call of which only success or failure matters.
Result<void> ask(const vmette_session& session, CallSpec spec, int64_t timeout_ms) {
  const auto result = session.session->call(std::move(spec), timeout_ms);
  if (!result) return result.error();
  return done();
}

Result<void> ask(const vmette_session& session, Call call, int64_t timeout_ms) {
  CallSpec spec;
  spec.call = std::move(call);
  return ask(session, std::move(spec), timeout_ms);
}

Result<void> check_mode(const char* function, uint32_t mode) {
  if (mode <= kMostMode) return done();
  return Error(Code::kInvalidArgument,
               fmt::format("{}: argument 'mode' is 0{:o}; pass permission bits up to 07777",
                           function, mode));
}

Call named(const char* operation, const char* path, uint32_t flags = 0) {
  Call call;
  call.op = operation;
  call.path = path;
  call.flags = flags;
  return call;
}

// What the guest answered to a call that asks for one file's data.
Result<vmette::wire::FileInfo> info_of(const vmette_session& session, Call call,
                                       int64_t timeout_ms) {
  CallSpec spec;
  spec.call = std::move(call);
  auto result = session.session->call(std::move(spec), timeout_ms);
  if (!result) return result.error();
  if (!result.value().info) return Error(Code::kGuest, "the guest's answer has no file in it");
  return std::move(*result.value().info);
}

}  // namespace

namespace vmette::capi {

Result<void> check_flags(const char* function, uint32_t flags, uint32_t known) {
  if ((flags & ~known) == 0) return done();
  return Error(Code::kInvalidArgument,
               fmt::format("{}: argument 'flags' is {}; pass a combination of bits of {}", function,
                           flags, known));
}

Result<Call> write_call(const char* function, const char* path, uint32_t flags, uint32_t mode) {
  constexpr uint32_t kKnown =
      VMETTE_FILE_APPEND | VMETTE_FILE_ATOMIC | VMETTE_FILE_EXCLUSIVE | VMETTE_FILE_PARENTS;
  BOOST_OUTCOME_TRYV(check_flags(function, flags, kKnown));
  Call call = named(op::kWrite, path, flags);
  if (mode == VMETTE_MODE_KEEP) return call;
  BOOST_OUTCOME_TRYV(check_mode(function, mode));
  call.flags |= vmette::wire::kCallHasMode;
  call.mode = mode;
  return call;
}

}  // namespace vmette::capi

using vmette::capi::check_flags;
using vmette::capi::write_call;

extern "C" {

vmette_error* vmette_session_read_file(vmette_session* session, const char* path, size_t most,
                                       int64_t timeout_ms, vmette_buffer** out) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    const auto sink = std::make_shared<BytesSink>(path, most);
    CallSpec spec{named(op::kRead, path), CallSpec::Content::kToSink, {}, sink};
    BOOST_OUTCOME_TRYV(ask(*session, std::move(spec), timeout_ms));
    *out = new vmette_buffer{std::move(sink->bytes())};
    return done();
  });
}

vmette_error* vmette_session_write_file(vmette_session* session, const char* path, const void* data,
                                        size_t size, vmette_file_flags flags, uint32_t mode,
                                        int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  if (data == nullptr && size != 0) return null_argument(__func__, "data");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    auto call = write_call(function, path, flags, mode);
    if (!call) return call.error();
    CallSpec spec{std::move(call.value()), CallSpec::Content::kFromBytes, {}, {}};
    if (size != 0) spec.bytes.assign(static_cast<const char*>(data), size);
    return ask(*session, std::move(spec), timeout_ms);
  });
}

vmette_error* vmette_session_stat(vmette_session* session, const char* path,
                                  vmette_file_flags flags, int64_t timeout_ms, vmette_stat** out) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  if (out == nullptr) return null_argument(__func__, "out");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_FOLLOW));
    auto info = info_of(*session, named(op::kStat, path, flags), timeout_ms);
    if (!info) return info.error();
    *out = new vmette_stat{std::move(info.value())};
    return done();
  });
}

vmette_error* vmette_session_exists(vmette_session* session, const char* path, int64_t timeout_ms,
                                    bool* out) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    const auto info = info_of(*session, named(op::kStat, path), timeout_ms);
    if (!info && info.error().error_number != ENOENT && info.error().error_number != ENOTDIR)
      return info.error();
    *out = info.has_value();
    return done();
  });
}

vmette_error* vmette_session_list(vmette_session* session, const char* path, int64_t timeout_ms,
                                  vmette_listing** out) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    const auto sink = std::make_shared<ListingSink>(path);
    CallSpec spec{named(op::kList, path), CallSpec::Content::kToSink, {}, sink};
    BOOST_OUTCOME_TRYV(ask(*session, std::move(spec), timeout_ms));
    auto listing = std::make_unique<vmette_listing>();
    auto& entries = sink->sorted();
    listing->entries.reserve(entries.size());
    for (vmette::wire::FileInfo& entry : entries)
      listing->entries.push_back(vmette_stat{std::move(entry)});
    *out = listing.release();
    return done();
  });
}

vmette_error* vmette_session_mkdir(vmette_session* session, const char* path, uint32_t mode,
                                   vmette_file_flags flags, int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_PARENTS));
    BOOST_OUTCOME_TRYV(check_mode(function, mode));
    Call call = named(op::kMkdir, path, flags);
    call.mode = mode;
    return ask(*session, std::move(call), timeout_ms);
  });
}

vmette_error* vmette_session_remove(vmette_session* session, const char* path,
                                    vmette_file_flags flags, int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_RECURSIVE));
    return ask(*session, named(op::kRemove, path, flags), timeout_ms);
  });
}

vmette_error* vmette_session_rename(vmette_session* session, const char* path, const char* to,
                                    vmette_file_flags flags, int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  if (to == nullptr) return null_argument(__func__, "to");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_EXCLUSIVE));
    Call call = named(op::kRename, path, flags);
    call.to = to;
    return ask(*session, std::move(call), timeout_ms);
  });
}

vmette_error* vmette_session_symlink(vmette_session* session, const char* target, const char* path,
                                     int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (target == nullptr) return null_argument(__func__, "target");
  if (path == nullptr) return null_argument(__func__, "path");
  return guarded([&]() -> Result<void> {
    Call call = named(op::kSymlink, path);
    call.to = target;
    return ask(*session, std::move(call), timeout_ms);
  });
}

vmette_error* vmette_session_chmod(vmette_session* session, const char* path, uint32_t mode,
                                   int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_mode(function, mode));
    Call call = named(op::kChmod, path);
    call.mode = mode;
    return ask(*session, std::move(call), timeout_ms);
  });
}

vmette_error* vmette_session_chown(vmette_session* session, const char* path, int64_t uid,
                                   int64_t gid, vmette_file_flags flags, int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_FOLLOW));
    for (const auto& [name, id] : {std::pair{"uid", uid}, std::pair{"gid", gid}})
      if (id < -1 || id >= int64_t{UINT32_MAX})
        return Error(Code::kInvalidArgument,
                     fmt::format("{}: argument '{}' is {}; pass a number below {}, or -1 to leave "
                                 "it",
                                 function, name, id, UINT32_MAX));
    Call call = named(op::kChown, path, flags);
    call.uid = uid;
    call.gid = gid;
    return ask(*session, std::move(call), timeout_ms);
  });
}

vmette_error* vmette_session_set_mtime(vmette_session* session, const char* path, int64_t mtime_ns,
                                       vmette_file_flags flags, int64_t timeout_ms) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (path == nullptr) return null_argument(__func__, "path");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_FOLLOW));
    Call call = named(op::kSetMtime, path, flags);
    call.mtime_ns = mtime_ns;
    return ask(*session, std::move(call), timeout_ms);
  });
}

vmette_error* vmette_session_stats(vmette_session* session, int64_t timeout_ms,
                                   vmette_stats** out) {
  if (session == nullptr) return null_argument(__func__, "session");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    CallSpec spec;
    spec.call.op = op::kStats;
    const auto result = session->session->call(std::move(spec), timeout_ms);
    if (!result) return result.error();
    if (!result.value().stats)
      return Error(Code::kGuest, "the guest's answer has no figures in it");
    *out = new vmette_stats{*result.value().stats};
    return done();
  });
}

}  // extern "C"
