/// @file error.hpp
/// Errors and results. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_ERROR_HPP
#define VMETTE_ERROR_HPP

#include <vmette/base.h>
#include <vmette/error.h>

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/try.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace vmette {

/// What a call failed with, see VMETTE_E_*.
enum class ErrorCode : vmette_code {
  kInvalidArgument = VMETTE_E_INVALID_ARGUMENT,
  kInvalidConfig = VMETTE_E_INVALID_CONFIG,
  kNotFound = VMETTE_E_NOT_FOUND,
  kStartFailed = VMETTE_E_START_FAILED,
  kGuest = VMETTE_E_GUEST,
  kSpawn = VMETTE_E_SPAWN,
  kDeadline = VMETTE_E_DEADLINE,
  kSessionEnded = VMETTE_E_SESSION_ENDED,
  kState = VMETTE_E_STATE,
  kUnsupported = VMETTE_E_UNSUPPORTED,
  kIo = VMETTE_E_IO,
  kNoMemory = VMETTE_E_NO_MEMORY,
  kInternal = VMETTE_E_INTERNAL,
  kInvalidSpec = VMETTE_E_INVALID_SPEC,
  kOfflineCacheMiss = VMETTE_E_OFFLINE_CACHE_MISS,
  kNetwork = VMETTE_E_NETWORK,
  kProvider = VMETTE_E_PROVIDER,
  kCancelled = VMETTE_E_CANCELLED,
  kFile = VMETTE_E_FILE,
  kRestoreFailed = VMETTE_E_RESTORE_FAILED,
  kSnapshot = VMETTE_E_SNAPSHOT,
};

/// A deadline that never passes.
inline constexpr std::chrono::milliseconds kForever{-1};

/// The library's version, for example "0.1.0".
[[nodiscard]] inline const char* version() noexcept {
  return vmette_version();
}
/// The name of a code, for example "DEADLINE".
[[nodiscard]] inline const char* code_name(ErrorCode code) noexcept {
  return vmette_code_name(static_cast<vmette_code>(code));
}

namespace detail {

template <class T, void (*Delete)(T*)>
struct Deleter {
  void operator()(T* raw) const noexcept { Delete(raw); }
};
template <class T, void (*Delete)(T*)>
using Handle = std::unique_ptr<T, Deleter<T, Delete>>;

}  // namespace detail

/// What went wrong. Immutable; copies share it, from any thread.
class Error {
 public:
  /// No error. Nothing hands it out; a result needs it for the case without one.
  Error() noexcept = default;
  /// Takes ownership of `raw`, which is not null.
  explicit Error(vmette_error* raw) noexcept : ptr_(raw, vmette_error_delete) {}
  /// For a callback to return, see vmette_error_new().
  Error(ErrorCode code, const std::string& message, int errno_value = 0) noexcept
      : Error(vmette_error_new(static_cast<vmette_code>(code), message.c_str(), errno_value)) {}

  [[nodiscard]] ErrorCode code() const noexcept {
    return ptr_ ? static_cast<ErrorCode>(vmette_error_code(capi())) : ErrorCode::kInvalidArgument;
  }
  [[nodiscard]] std::string_view message() const noexcept {
    return ptr_ ? vmette_error_message(capi()) : found_here_;
  }
  [[nodiscard]] std::string_view stage() const noexcept {
    return ptr_ ? vmette_error_stage(capi()) : "";
  }
  [[nodiscard]] std::string_view console() const noexcept {
    return ptr_ ? vmette_error_console(capi()) : "";
  }
  /// vmette_error_errno(); `errno` itself is a macro.
  [[nodiscard]] int errno_value() const noexcept { return ptr_ ? vmette_error_errno(capi()) : 0; }
  [[nodiscard]] std::chrono::milliseconds elapsed() const noexcept {
    return std::chrono::milliseconds(ptr_ ? vmette_error_elapsed_ms(capi()) : 0);
  }
  /// Null for the one error that is found on this side of the C edge: a string with a NUL inside.
  [[nodiscard]] const vmette_error* capi() const noexcept { return ptr_.get(); }

 private:
  template <class Self, class Raw, void (*Delete)(Raw*)>
  friend class Settings;
  friend class Session;
  friend class Snapshot;
  static Error embedded_nul() noexcept {
    Error error;
    error.found_here_ = "a string argument has a NUL byte inside, pass it without";
    return error;
  }

  std::shared_ptr<vmette_error> ptr_;
  const char* found_here_ = "";
};

/// A T or an Error.
template <class T>
using result =
    BOOST_OUTCOME_V2_NAMESPACE::basic_result<T, Error,
                                             BOOST_OUTCOME_V2_NAMESPACE::policy::terminate>;

namespace detail {

inline result<void> check(vmette_error* error) noexcept {
  if (error != nullptr) return Error(error);
  return BOOST_OUTCOME_V2_NAMESPACE::success();
}

/// Calls `make(out)` and wraps what it made.
template <class Wrapper, class Raw, class Make>
result<Wrapper> wrap(Make make) noexcept {
  Raw* raw = nullptr;
  if (vmette_error* error = make(&raw)) return Error(error);
  return Wrapper(raw);
}

}  // namespace detail

}  // namespace vmette

#endif
