#include "capi/file_handles.h"
#include "capi/machine_handles.h"
#include "core/tree_copy.h"

namespace {

using vmette::capi::check_flags;
using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::core::CopyOptions;
using vmette::core::Result;
using vmette::tree::Progress;

constexpr uint32_t kKnownFlags = VMETTE_FILE_PARENTS | VMETTE_FILE_OWNERS;
static_assert(VMETTE_FILE_OWNERS == vmette::wire::kCallOwners);

CopyOptions options_of(uint32_t flags, vmette_progress progress, void* env, int64_t timeout_ms) {
  CopyOptions options;
  options.flags = flags;
  options.timeout_ms = timeout_ms;
  if (progress != nullptr)
    options.progress = [progress, env](const std::string& path, const Progress& so_far) {
      return progress(env, path.c_str(), so_far.bytes, 0);
    };
  return options;
}

Result<void> hand_out(const Result<Progress>& copied, vmette_copied** out) {
  if (!copied) return copied.error();
  if (out != nullptr) *out = new vmette_copied{copied.value()};
  return vmette::core::success();
}

}  // namespace

extern "C" {

vmette_error* vmette_session_copy_in(vmette_session* session, const char* host_path,
                                     const char* guest_path, vmette_file_flags flags,
                                     vmette_progress progress, void* env, int64_t timeout_ms,
                                     vmette_copied** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (host_path == nullptr) return null_argument(__func__, "host_path");
  if (guest_path == nullptr) return null_argument(__func__, "guest_path");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, kKnownFlags));
    return hand_out(vmette::core::copy_in(*session->session, host_path, guest_path,
                                          options_of(flags, progress, env, timeout_ms)),
                    out);
  });
}

vmette_error* vmette_session_copy_out(vmette_session* session, const char* guest_path,
                                      const char* host_path, vmette_file_flags flags,
                                      uint64_t most_bytes, vmette_progress progress, void* env,
                                      int64_t timeout_ms, vmette_copied** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (guest_path == nullptr) return null_argument(__func__, "guest_path");
  if (host_path == nullptr) return null_argument(__func__, "host_path");
  const char* const function = __func__;
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(check_flags(function, flags, kKnownFlags));
    CopyOptions options = options_of(flags, progress, env, timeout_ms);
    options.most_bytes = most_bytes;
    return hand_out(vmette::core::copy_out(*session->session, guest_path, host_path, options), out);
  });
}

uint64_t vmette_copied_entries(const vmette_copied* copied) {
  return copied == nullptr ? 0 : copied->progress.entries;
}

uint64_t vmette_copied_bytes(const vmette_copied* copied) {
  return copied == nullptr ? 0 : copied->progress.bytes;
}

uint64_t vmette_copied_skipped(const vmette_copied* copied) {
  return copied == nullptr ? 0 : copied->progress.skipped;
}

void vmette_copied_delete(vmette_copied* copied) {
  delete copied;
}

}  // extern "C"
