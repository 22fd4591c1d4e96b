#include <fmt/format.h>

#include "capi/file_handles.h"
#include "capi/machine_handles.h"

namespace {

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::core::CallSpec;
using vmette::core::Code;
using vmette::core::Error;
using vmette::core::Result;

Result<void> begin(const vmette_session& session, CallSpec spec, vmette_transfer** out) {
  auto handle = std::make_unique<vmette_transfer>();
  auto call = session.session->begin_call(std::move(spec));
  if (!call) return call.error();
  handle->reactor = session.reactor;
  handle->session = session.session;
  handle->call = call.value();
  *out = handle.release();
  return vmette::core::success();
}

}  // namespace

extern "C" {

vmette_error* vmette_session_open_read(vmette_session* session, const char* path, uint64_t offset,
                                       uint64_t length, vmette_transfer** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (path == nullptr) return null_argument(__func__, "path");
  if (out == nullptr) return null_argument(__func__, "out");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    if (offset > static_cast<uint64_t>(INT64_MAX))
      return Error(
          Code::kInvalidArgument,
          fmt::format("{}: argument 'offset' is {}; pass at most {}", function, offset, INT64_MAX));
    CallSpec spec;
    spec.call.op = vmette::wire::op::kRead;
    spec.call.path = path;
    spec.call.offset = offset;
    spec.call.length = length;
    spec.content = CallSpec::Content::kToPipe;
    return begin(*session, std::move(spec), out);
  });
}

vmette_error* vmette_session_open_write(vmette_session* session, const char* path,
                                        vmette_file_flags flags, uint32_t mode,
                                        vmette_transfer** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (path == nullptr) return null_argument(__func__, "path");
  if (out == nullptr) return null_argument(__func__, "out");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    auto call = vmette::capi::write_call(function, path, flags, mode);
    if (!call) return call.error();
    CallSpec spec;
    spec.call = std::move(call.value());
    spec.content = CallSpec::Content::kFromPipe;
    return begin(*session, std::move(spec), out);
  });
}

int vmette_transfer_fd(const vmette_transfer* transfer) {
  return usable(transfer) ? transfer->call->caller_fd() : -1;
}

int vmette_transfer_take_fd(vmette_transfer* transfer) {
  return usable(transfer) ? transfer->call->take_fd().release() : -1;
}

void vmette_transfer_close_fd(vmette_transfer* transfer) {
  if (transfer != nullptr) transfer->call->take_fd().reset();
}

int vmette_transfer_done_fd(const vmette_transfer* transfer) {
  return usable(transfer) ? transfer->call->done().fd() : -1;
}

vmette_error* vmette_transfer_wait(const vmette_transfer* transfer, int64_t timeout_ms) {
  if (!usable(transfer)) return unusable(__func__, "transfer", transfer);
  return guarded([&]() -> Result<void> {
    if (!transfer->call->done().wait(timeout_ms))
      return Error(Code::kDeadline,
                   fmt::format("the transfer is not over after {} ms; wait longer, or cancel it",
                               timeout_ms));
    const auto outcome = transfer->call->outcome();
    if (!*outcome) return outcome->error();
    return vmette::core::success();
  });
}

uint64_t vmette_transfer_bytes(const vmette_transfer* transfer) {
  return usable(transfer) ? transfer->call->bytes() : 0;
}

void vmette_transfer_cancel(vmette_transfer* transfer) {
  if (!usable(transfer)) return;
  (void)guarded([&]() -> Result<void> {
    transfer->call->stop();
    transfer->session->post([call = transfer->call] {
      call->cancel(Error(Code::kCancelled, "the caller gave the transfer up"));
    });
    return vmette::core::success();
  });
}

void vmette_transfer_delete(vmette_transfer* transfer) {
  if (!usable(transfer)) return;
  vmette_transfer_cancel(transfer);
  vmette_transfer_close_fd(transfer);
  delete transfer;
}

}  // extern "C"
