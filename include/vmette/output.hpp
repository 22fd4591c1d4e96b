/// @file output.hpp
/// What the library hands out: bytes, and how a command ended. Part of vmette.hpp, which has the
/// conventions.
#ifndef VMETTE_OUTPUT_HPP
#define VMETTE_OUTPUT_HPP

#include <vmette/output.h>
#include <vmette/stream.h>
#include <vmette/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmette {

/// Why a session ended, see VMETTE_END_*.
enum class End : vmette_end {
  kNone = VMETTE_END_NONE,
  kExited = VMETTE_END_EXITED,
  kTimedOut = VMETTE_END_TIMED_OUT,
  kStopped = VMETTE_END_STOPPED,
  kError = VMETTE_END_ERROR,
};

/// One of a command's streams, see VMETTE_STDIN and its neighbours.
enum class Stream : vmette_stream {
  kStdin = VMETTE_STDIN,
  kStdout = VMETTE_STDOUT,
  kStderr = VMETTE_STDERR,
  kCombined = VMETTE_COMBINED,
};

/// How a command ended and what it printed. Never changes; any thread.
class Output {
 public:
  /// Takes ownership.
  explicit Output(vmette_output* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] End end() const noexcept { return static_cast<End>(vmette_output_end(capi())); }
  [[nodiscard]] int exit_code() const noexcept { return vmette_output_exit_code(capi()); }
  [[nodiscard]] std::string_view end_message() const noexcept {
    return vmette_output_end_message(capi());
  }
  [[nodiscard]] std::string_view data(Stream stream) const noexcept {
    std::size_t size = 0;
    const char* bytes = vmette_output_data(capi(), static_cast<vmette_stream>(stream), &size);
    return {bytes, size};
  }
  /// The captured stdout, bytes as they came. (`stdout` itself may be a macro.)
  [[nodiscard]] std::string_view stdout_text() const noexcept { return data(Stream::kStdout); }
  /// The captured stderr.
  [[nodiscard]] std::string_view stderr_text() const noexcept { return data(Stream::kStderr); }
  /// Both, in the order of arrival.
  [[nodiscard]] std::string_view combined() const noexcept { return data(Stream::kCombined); }
  [[nodiscard]] bool truncated(Stream stream) const noexcept {
    return vmette_output_truncated(capi(), static_cast<vmette_stream>(stream));
  }
  /// True when a byte of any stream was dropped.
  [[nodiscard]] bool truncated() const noexcept {
    return truncated(Stream::kStdout) || truncated(Stream::kStderr) || truncated(Stream::kCombined);
  }
  [[nodiscard]] std::uint64_t total(Stream stream) const noexcept {
    return vmette_output_total(capi(), static_cast<vmette_stream>(stream));
  }

  [[nodiscard]] vmette_output* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_output* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_output, vmette_output_delete> ptr_;
};

/// Bytes that the library handed out.
class Buffer {
 public:
  /// Takes ownership.
  explicit Buffer(vmette_buffer* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] std::string_view data() const noexcept {
    std::size_t size = 0;
    const char* bytes = vmette_buffer_data(capi(), &size);
    return {bytes, size};
  }

  [[nodiscard]] vmette_buffer* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_buffer* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_buffer, vmette_buffer_delete> ptr_;
};

}  // namespace vmette

#endif
