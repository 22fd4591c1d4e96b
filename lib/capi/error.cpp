#include <fmt/format.h>

#include "capi/handles.h"

namespace {

using vmette::capi::bad_choice;
using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::core::Code;

static_assert(static_cast<int32_t>(Code::kInvalidArgument) == VMETTE_E_INVALID_ARGUMENT);
static_assert(static_cast<int32_t>(Code::kInvalidConfig) == VMETTE_E_INVALID_CONFIG);
static_assert(static_cast<int32_t>(Code::kNotFound) == VMETTE_E_NOT_FOUND);
static_assert(static_cast<int32_t>(Code::kStartFailed) == VMETTE_E_START_FAILED);
static_assert(static_cast<int32_t>(Code::kGuest) == VMETTE_E_GUEST);
static_assert(static_cast<int32_t>(Code::kSpawn) == VMETTE_E_SPAWN);
static_assert(static_cast<int32_t>(Code::kDeadline) == VMETTE_E_DEADLINE);
static_assert(static_cast<int32_t>(Code::kSessionEnded) == VMETTE_E_SESSION_ENDED);
static_assert(static_cast<int32_t>(Code::kState) == VMETTE_E_STATE);
static_assert(static_cast<int32_t>(Code::kUnsupported) == VMETTE_E_UNSUPPORTED);
static_assert(static_cast<int32_t>(Code::kIo) == VMETTE_E_IO);
static_assert(static_cast<int32_t>(Code::kNoMemory) == VMETTE_E_NO_MEMORY);
static_assert(static_cast<int32_t>(Code::kInternal) == VMETTE_E_INTERNAL);
static_assert(static_cast<int32_t>(Code::kInvalidSpec) == VMETTE_E_INVALID_SPEC);
static_assert(static_cast<int32_t>(Code::kOfflineCacheMiss) == VMETTE_E_OFFLINE_CACHE_MISS);
static_assert(static_cast<int32_t>(Code::kNetwork) == VMETTE_E_NETWORK);
static_assert(static_cast<int32_t>(Code::kProvider) == VMETTE_E_PROVIDER);
static_assert(static_cast<int32_t>(Code::kCancelled) == VMETTE_E_CANCELLED);
static_assert(static_cast<int32_t>(Code::kFile) == VMETTE_E_FILE);
static_assert(static_cast<int32_t>(Code::kRestoreFailed) == VMETTE_E_RESTORE_FAILED);
static_assert(static_cast<int32_t>(Code::kSnapshot) == VMETTE_E_SNAPSHOT);

// Never freed: what is returned when an error cannot be allocated.
vmette_error& last_resort() {
  static vmette_error error{vmette::core::Error(Code::kNoMemory, {})};
  return error;
}

}  // namespace

namespace vmette::capi {

vmette_error* to_c(core::Error error) noexcept {
  auto* owned = new (std::nothrow) vmette_error{std::move(error)};
  return owned != nullptr ? owned : &last_resort();
}

core::Error null_error(const char* function, const char* argument) {
  return {core::Code::kInvalidArgument,
          fmt::format("{}: argument '{}' is NULL; pass a valid pointer", function, argument)};
}

vmette_error* null_argument(const char* function, const char* argument) noexcept {
  return guarded([&]() -> core::Result<void> { return null_error(function, argument); });
}

vmette_error* inherited_argument(const char* function, const char* argument) noexcept {
  return guarded([&]() -> core::Result<void> {
    return core::Error(
        core::Code::kState,
        fmt::format("{}: argument '{}' is used in a child of fork(), and its machine is the "
                    "parent's; start machines in the process that uses them",
                    function, argument));
  });
}

vmette_error* bad_choice(const char* function, const char* argument, int32_t value,
                         int32_t last) noexcept {
  return guarded([&]() -> core::Result<void> {
    return core::Error(core::Code::kInvalidArgument,
                       fmt::format("{}: argument '{}' is {}; pass a named value from 0 to {}",
                                   function, argument, value, last));
  });
}

}  // namespace vmette::capi

extern "C" {

const char* vmette_version(void) {
  return VMETTE_VERSION;
}

vmette_error* vmette_error_new(vmette_code code, const char* message, int32_t errno_value) {
  if (message == nullptr) return null_argument(__func__, "message");
  if (code < VMETTE_E_INVALID_ARGUMENT || code > VMETTE_E_SNAPSHOT)
    return bad_choice(__func__, "code", code, VMETTE_E_SNAPSHOT);
  return guarded([&]() -> vmette::core::Result<void> {
    return vmette::core::Error(static_cast<Code>(code), vmette::core::one_line(message), {},
                               errno_value);
  });
}

vmette_code vmette_error_code(const vmette_error* error) {
  return error == nullptr ? 0 : static_cast<vmette_code>(error->error.code);
}

const char* vmette_error_message(const vmette_error* error) {
  return error == nullptr ? "" : error->error.message.c_str();
}

const char* vmette_error_stage(const vmette_error* error) {
  return error == nullptr ? "" : error->error.stage.c_str();
}

const char* vmette_error_console(const vmette_error* error) {
  return error == nullptr ? "" : error->error.console.c_str();
}

int32_t vmette_error_errno(const vmette_error* error) {
  return error == nullptr ? 0 : error->error.error_number;
}

uint64_t vmette_error_elapsed_ms(const vmette_error* error) {
  return error == nullptr ? 0 : error->error.elapsed_ms;
}

void vmette_error_delete(vmette_error* error) {
  if (error != &last_resort()) delete error;
}

const char* vmette_code_name(vmette_code code) {
  switch (code) {
    case VMETTE_E_INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case VMETTE_E_INVALID_CONFIG:
      return "INVALID_CONFIG";
    case VMETTE_E_NOT_FOUND:
      return "NOT_FOUND";
    case VMETTE_E_START_FAILED:
      return "START_FAILED";
    case VMETTE_E_GUEST:
      return "GUEST";
    case VMETTE_E_SPAWN:
      return "SPAWN";
    case VMETTE_E_DEADLINE:
      return "DEADLINE";
    case VMETTE_E_SESSION_ENDED:
      return "SESSION_ENDED";
    case VMETTE_E_STATE:
      return "STATE";
    case VMETTE_E_UNSUPPORTED:
      return "UNSUPPORTED";
    case VMETTE_E_IO:
      return "IO";
    case VMETTE_E_NO_MEMORY:
      return "NO_MEMORY";
    case VMETTE_E_INTERNAL:
      return "INTERNAL";
    case VMETTE_E_INVALID_SPEC:
      return "INVALID_SPEC";
    case VMETTE_E_OFFLINE_CACHE_MISS:
      return "OFFLINE_CACHE_MISS";
    case VMETTE_E_NETWORK:
      return "NETWORK";
    case VMETTE_E_PROVIDER:
      return "PROVIDER";
    case VMETTE_E_CANCELLED:
      return "CANCELLED";
    case VMETTE_E_FILE:
      return "FILE";
    case VMETTE_E_RESTORE_FAILED:
      return "RESTORE_FAILED";
    case VMETTE_E_SNAPSHOT:
      return "SNAPSHOT";
    default:
      return "UNKNOWN";
  }
}

}  // extern "C"
