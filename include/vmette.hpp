/// @file vmette.hpp
/// vmette for C++: header-only over vmette.h, where every contract is written. This header adds
/// lifetimes and results, nothing else; each method names the C function it stands for by its own
/// name. C++17 or later. Needs Boost.Outcome's headers, and links to nothing but libvmette.
///
/// - Objects are move-only and free what they own. A moved-from object may only be assigned to or
///   destroyed. `capi()` lends the C handle, `capi_release()` gives it away.
/// - What can fail returns `result<T>`, which the compiler does not let you ignore. Asking a result
///   for what it does not hold ends the process (std::abort): test it first, or pass it on with
///   BOOST_OUTCOME_TRY.
/// - Nothing here throws. Where this header itself allocates (errors, argument vectors), running
///   out of memory ends the process.
/// - Views and pointers are valid as long as the object that returned them.
#ifndef VMETTE_HPP
#define VMETTE_HPP

#include <vmette.h>

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/try.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
};

/// How a guest's vsock port is chosen, see VMETTE_VSOCK_*.
enum class VsockMode : vmette_vsock_mode {
  kDisabled = VMETTE_VSOCK_DISABLED,
  kAuto = VMETTE_VSOCK_AUTO,
  kFixed = VMETTE_VSOCK_FIXED,
};

/// What runs the guest's vCPUs, see VMETTE_ACCEL_*.
enum class Accel : vmette_accel {
  kAuto = VMETTE_ACCEL_AUTO,
  kHardware = VMETTE_ACCEL_HARDWARE,
  kEmulation = VMETTE_ACCEL_EMULATION,
};

/// Where a session is in its life, see VMETTE_STATE_*.
enum class State : vmette_state {
  kCreated = VMETTE_STATE_CREATED,
  kStarting = VMETTE_STATE_STARTING,
  kReady = VMETTE_STATE_READY,
  kPaused = VMETTE_STATE_PAUSED,
  kEnded = VMETTE_STATE_ENDED,
};

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

/// Where a command's stdin comes from or its output goes to, see VMETTE_STDIO_*.
enum class Stdio : vmette_stdio {
  kNull = VMETTE_STDIO_NULL,
  kPipe = VMETTE_STDIO_PIPE,
  kCapture = VMETTE_STDIO_CAPTURE,
};

/// Whom a signal reaches, see VMETTE_SCOPE_*.
enum class Scope : vmette_scope {
  kProcess = VMETTE_SCOPE_PROCESS,
  kGroup = VMETTE_SCOPE_GROUP,
  kTree = VMETTE_SCOPE_TREE,
};

/// How much the log says, see VMETTE_LOG_*.
enum class LogLevel : vmette_log_level {
  kOff = VMETTE_LOG_OFF,
  kError = VMETTE_LOG_ERROR,
  kInfo = VMETTE_LOG_INFO,
  kDebug = VMETTE_LOG_DEBUG,
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

/// A string argument: a literal, a pointer (null where vmette.h allows NULL) or a std::string,
/// which must not have a NUL byte inside. Borrows the bytes for the call.
class Text {
 public:
  Text(const char* text) noexcept : text_(text) {}  // NOLINT: implicit, so that calls read plainly
  Text(const std::string& text) noexcept            // NOLINT
      : text_(text.c_str()), whole_(text.find('\0') == std::string::npos) {}

  [[nodiscard]] const char* c_str() const noexcept { return text_; }
  /// False when C would see only a part of the string.
  [[nodiscard]] bool whole() const noexcept { return whole_; }

 private:
  const char* text_;
  bool whole_ = true;
};

/// What went wrong. Immutable; copies share it, from any thread.
class Error {
 public:
  /// No error. Nothing hands it out; a result needs it for the case without one.
  Error() noexcept = default;
  /// Takes ownership of `raw`, which is not null.
  explicit Error(vmette_error* raw) noexcept : ptr_(raw, vmette_error_delete) {}

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

/// What Config and Exec share: a handle with chained setters. The first setter that fails is
/// remembered, later ones then do nothing, and whoever uses the description returns that error. One
/// thread at a time.
template <class Self, class Raw, void (*Delete)(Raw*)>
class Settings {
 public:
  /// The first setter's error, null when all went well. Valid as long as the description.
  [[nodiscard]] const Error* error() const noexcept { return error_ ? &*error_ : nullptr; }
  [[nodiscard]] Raw* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] Raw* capi_release() noexcept { return ptr_.release(); }

 protected:
  explicit Settings(Raw* raw) noexcept : ptr_(raw) {}
  explicit Settings(vmette_error* (*make)(Raw**)) noexcept {
    Raw* raw = nullptr;
    if (vmette_error* error = make(&raw)) error_ = Error(error);
    ptr_.reset(raw);
  }

  template <class Setter, class... Args>
  Self& set(Setter setter, const Args&... args) noexcept {
    if (!error_ && !(whole(args) && ...)) error_ = Error::embedded_nul();
    if (!error_) {
      if (vmette_error* error = setter(capi(), plain(args)...)) error_ = Error(error);
    }
    return static_cast<Self&>(*this);
  }
  template <class Setter>
  Self& set_vector(Setter setter, const std::vector<std::string>& argv) noexcept {
    std::vector<const char*> pointers;
    for (const Text arg : argv) {
      if (!arg.whole() && !error_) error_ = Error::embedded_nul();
      pointers.push_back(arg.c_str());
    }
    return set(setter, pointers.data(), pointers.size());
  }

 private:
  static bool whole(const Text& text) noexcept { return text.whole(); }
  template <class T>
  static bool whole(const T& /*other*/) noexcept {
    return true;
  }
  static const char* plain(const Text& text) noexcept { return text.c_str(); }
  template <class T>
  static T plain(const T& other) noexcept {
    return other;
  }

  detail::Handle<Raw, Delete> ptr_;
  std::optional<Error> error_;
};

/// The description of a machine. A setter's error is returned by validate(), clone(),
/// Session::create() and run().
class Config : public Settings<Config, vmette_config, vmette_config_delete> {
 public:
  Config() noexcept : Settings(vmette_config_new) {}
  /// Takes ownership.
  explicit Config(vmette_config* raw) noexcept : Settings(raw) {}

  [[nodiscard]] result<Config> clone() const noexcept {
    if (error() != nullptr) return *error();
    return detail::wrap<Config, vmette_config>(
        [this](vmette_config** out) { return vmette_config_clone(capi(), out); });
  }
  [[nodiscard]] result<void> validate() const noexcept {
    if (error() != nullptr) return *error();
    return detail::check(vmette_config_validate(capi()));
  }

  Config& set_kernel(const Text& path) noexcept { return set(vmette_config_set_kernel, path); }
  Config& set_initramfs(const Text& path) noexcept {
    return set(vmette_config_set_initramfs, path);
  }
  Config& set_assets(const Text& directory) noexcept {
    return set(vmette_config_set_assets, directory);
  }
  Config& set_helper(const Text& path) noexcept { return set(vmette_config_set_helper, path); }
  Config& set_cmdline(const Text& cmdline) noexcept {
    return set(vmette_config_set_cmdline, cmdline);
  }
  Config& set_rootfs_share(const Text& path, bool read_only = false) noexcept {
    return set(vmette_config_set_rootfs_share, path, read_only);
  }
  Config& set_rootfs_block(const Text& path, const Text& fstype) noexcept {
    return set(vmette_config_set_rootfs_block, path, fstype);
  }
  Config& add_share(const Text& tag, const Text& path, bool read_only) noexcept {
    return set(vmette_config_add_share, tag, path, read_only);
  }
  Config& add_disk(const Text& path, bool read_only) noexcept {
    return set(vmette_config_add_disk, path, read_only);
  }
  Config& set_exec(const Text& line) noexcept { return set(vmette_config_set_exec, line); }
  Config& set_exec_argv(const char* const* argv, std::size_t argc) noexcept {
    return set(vmette_config_set_exec_argv, argv, argc);
  }
  Config& set_exec_argv(const std::vector<std::string>& argv) noexcept {
    return set_vector(vmette_config_set_exec_argv, argv);
  }
  Config& add_env(const Text& key, const Text& value) noexcept {
    return set(vmette_config_add_env, key, value);
  }
  Config& set_switch_root(bool on) noexcept { return set(vmette_config_set_switch_root, on); }
  Config& set_net(bool on) noexcept { return set(vmette_config_set_net, on); }
  Config& set_vsock(VsockMode mode, std::uint32_t port = 0) noexcept {
    return set(vmette_config_set_vsock, static_cast<vmette_vsock_mode>(mode), port);
  }
  Config& set_guest_vsock_port(std::uint32_t port) noexcept {
    return set(vmette_config_set_guest_vsock_port, port);
  }
  Config& set_timeout_seconds(std::uint32_t seconds) noexcept {
    return set(vmette_config_set_timeout_seconds, seconds);
  }
  Config& set_ready_timeout_ms(std::uint32_t timeout_ms) noexcept {
    return set(vmette_config_set_ready_timeout_ms, timeout_ms);
  }
  Config& set_vcpus(std::uint32_t vcpus) noexcept { return set(vmette_config_set_vcpus, vcpus); }
  Config& set_mem_mib(std::uint64_t mem_mib) noexcept {
    return set(vmette_config_set_mem_mib, mem_mib);
  }
  Config& set_build_snapshot(const Text& path) noexcept {
    return set(vmette_config_set_build_snapshot, path);
  }
  Config& set_resume_snapshot(const Text& path) noexcept {
    return set(vmette_config_set_resume_snapshot, path);
  }
  Config& set_scratch_mib(std::uint64_t scratch_mib) noexcept {
    return set(vmette_config_set_scratch_mib, scratch_mib);
  }
  Config& set_quiet(bool on) noexcept { return set(vmette_config_set_quiet, on); }
  Config& set_capture_output(bool on) noexcept { return set(vmette_config_set_capture_output, on); }
  Config& set_capture_limit(std::size_t bytes) noexcept {
    return set(vmette_config_set_capture_limit, bytes);
  }
  Config& set_accel(Accel accel) noexcept {
    return set(vmette_config_set_accel, static_cast<vmette_accel>(accel));
  }
  Config& set_hostname(const Text& name) noexcept { return set(vmette_config_set_hostname, name); }

  [[nodiscard]] std::uint32_t vcpus() const noexcept { return vmette_config_vcpus(capi()); }
  [[nodiscard]] std::uint64_t mem_mib() const noexcept { return vmette_config_mem_mib(capi()); }
  [[nodiscard]] std::uint32_t timeout_seconds() const noexcept {
    return vmette_config_timeout_seconds(capi());
  }
  [[nodiscard]] std::uint32_t guest_vsock_port() const noexcept {
    return vmette_config_guest_vsock_port(capi());
  }
  /// Valid until the configuration changes.
  [[nodiscard]] std::string_view cmdline() const noexcept { return vmette_config_cmdline(capi()); }
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

/// The description of a command. A setter's error is returned by Session::exec().
class Exec : public Settings<Exec, vmette_exec, vmette_exec_delete> {
 public:
  Exec() noexcept : Settings(vmette_exec_new) {}
  /// A line for /bin/sh -c.
  explicit Exec(const Text& line) noexcept : Exec() { set_line(line); }
  /// An argument vector.
  explicit Exec(const std::vector<std::string>& argv) noexcept : Exec() { set_argv(argv); }
  /// Takes ownership.
  explicit Exec(vmette_exec* raw) noexcept : Settings(raw) {}

  Exec& set_line(const Text& line) noexcept { return set(vmette_exec_set_line, line); }
  Exec& set_argv(const char* const* argv, std::size_t argc) noexcept {
    return set(vmette_exec_set_argv, argv, argc);
  }
  Exec& set_argv(const std::vector<std::string>& argv) noexcept {
    return set_vector(vmette_exec_set_argv, argv);
  }
  Exec& add_env(const Text& key, const Text& value) noexcept {
    return set(vmette_exec_add_env, key, value);
  }
  Exec& set_clear_env(bool on) noexcept { return set(vmette_exec_set_clear_env, on); }
  Exec& set_cwd(const Text& path) noexcept { return set(vmette_exec_set_cwd, path); }
  Exec& set_user(const Text& user) noexcept { return set(vmette_exec_set_user, user); }
  Exec& set_stdin(Stdio mode) noexcept {
    return set(vmette_exec_set_stdin, static_cast<vmette_stdio>(mode));
  }
  Exec& set_stdin_bytes(std::string_view bytes) noexcept {
    return set(vmette_exec_set_stdin_bytes, static_cast<const void*>(bytes.data()), bytes.size());
  }
  Exec& set_stdout(Stdio mode) noexcept {
    return set(vmette_exec_set_stdout, static_cast<vmette_stdio>(mode));
  }
  Exec& set_stderr(Stdio mode) noexcept {
    return set(vmette_exec_set_stderr, static_cast<vmette_stdio>(mode));
  }
  Exec& set_capture_limit(std::size_t bytes) noexcept {
    return set(vmette_exec_set_capture_limit, bytes);
  }
  Exec& set_tty(std::uint16_t rows, std::uint16_t cols, const Text& term = nullptr) noexcept {
    return set(vmette_exec_set_tty, rows, cols, term);
  }
  Exec& set_timeout(std::chrono::milliseconds timeout) noexcept {
    return set(vmette_exec_set_timeout_ms, static_cast<std::uint64_t>(timeout.count()));
  }
};

/// One command in a running machine. Destruction closes its descriptors and leaves it running; the
/// session may be gone before. All methods from any thread.
class Process {
 public:
  /// Takes ownership.
  explicit Process(vmette_process* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] result<void> wait_started(
      std::chrono::milliseconds timeout = kForever) const noexcept {
    return detail::check(vmette_process_wait_started(capi(), timeout.count()));
  }
  [[nodiscard]] result<void> wait(std::chrono::milliseconds timeout = kForever) const noexcept {
    return detail::check(vmette_process_wait(capi(), timeout.count()));
  }
  [[nodiscard]] int exit_fd() const noexcept { return vmette_process_exit_fd(capi()); }
  [[nodiscard]] int fd(Stream stream) const noexcept {
    return vmette_process_fd(capi(), static_cast<vmette_stream>(stream));
  }
  [[nodiscard]] int take_fd(Stream stream) noexcept {
    return vmette_process_take_fd(capi(), static_cast<vmette_stream>(stream));
  }
  void close_fd(Stream stream) noexcept {
    vmette_process_close_fd(capi(), static_cast<vmette_stream>(stream));
  }
  [[nodiscard]] result<void> signal(int number, Scope scope = Scope::kGroup) noexcept {
    return detail::check(vmette_process_signal(capi(), number, static_cast<vmette_scope>(scope)));
  }
  [[nodiscard]] result<void> kill() noexcept { return detail::check(vmette_process_kill(capi())); }
  [[nodiscard]] result<void> resize(std::uint16_t rows, std::uint16_t cols) noexcept {
    return detail::check(vmette_process_resize(capi(), rows, cols));
  }

  [[nodiscard]] bool ended() const noexcept { return vmette_process_ended(capi()); }
  [[nodiscard]] int exit_code() const noexcept { return vmette_process_exit_code(capi()); }
  [[nodiscard]] int term_signal() const noexcept { return vmette_process_term_signal(capi()); }
  [[nodiscard]] bool out_of_memory() const noexcept { return vmette_process_out_of_memory(capi()); }
  [[nodiscard]] bool timed_out() const noexcept { return vmette_process_timed_out(capi()); }
  [[nodiscard]] std::string_view end_message() const noexcept {
    return vmette_process_end_message(capi());
  }
  [[nodiscard]] std::uint32_t pid() const noexcept { return vmette_process_pid(capi()); }
  [[nodiscard]] std::chrono::microseconds wall() const noexcept {
    return std::chrono::microseconds(vmette_process_wall_us(capi()));
  }
  [[nodiscard]] std::chrono::microseconds user() const noexcept {
    return std::chrono::microseconds(vmette_process_user_us(capi()));
  }
  [[nodiscard]] std::chrono::microseconds system() const noexcept {
    return std::chrono::microseconds(vmette_process_system_us(capi()));
  }
  [[nodiscard]] std::uint64_t max_rss_kib() const noexcept {
    return vmette_process_max_rss_kib(capi());
  }
  [[nodiscard]] result<Output> output() const noexcept {
    return detail::wrap<Output, vmette_output>(
        [this](vmette_output** out) { return vmette_process_output(capi(), out); });
  }

  [[nodiscard]] vmette_process* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_process* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_process, vmette_process_delete> ptr_;
};

/// A point of the boot.
struct TimelineEntry {
  /// Valid as long as the session.
  std::string_view name;
  /// Time since the launch.
  std::chrono::microseconds at;
};

/// One virtual machine. Its destruction ends the machine and waits until nothing of it is left; no
/// other call may be under way then. All methods from any thread.
class Session {
 public:
  [[nodiscard]] static result<Session> create(const Config& config) noexcept {
    if (config.error() != nullptr) return *config.error();
    return detail::wrap<Session, vmette_session>(
        [&config](vmette_session** out) { return vmette_session_new(config.capi(), out); });
  }
  /// Takes ownership.
  explicit Session(vmette_session* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] result<void> start() noexcept {
    return detail::check(vmette_session_start(capi()));
  }
  [[nodiscard]] result<void> launch() noexcept {
    return detail::check(vmette_session_launch(capi()));
  }
  [[nodiscard]] result<void> wait_ready(std::chrono::milliseconds timeout = kForever) noexcept {
    return detail::check(vmette_session_wait_ready(capi(), timeout.count()));
  }
  [[nodiscard]] result<void> wait(std::chrono::milliseconds timeout = kForever) noexcept {
    return detail::check(vmette_session_wait(capi(), timeout.count()));
  }
  [[nodiscard]] result<void> stop(std::uint32_t grace_ms) noexcept {
    return detail::check(vmette_session_stop(capi(), grace_ms));
  }
  [[nodiscard]] result<void> kill() noexcept { return detail::check(vmette_session_kill(capi())); }
  [[nodiscard]] result<void> pause() noexcept {
    return detail::check(vmette_session_pause(capi()));
  }
  [[nodiscard]] result<void> unpause() noexcept {
    return detail::check(vmette_session_unpause(capi()));
  }

  [[nodiscard]] result<Process> exec(const Exec& exec) noexcept {
    if (exec.error() != nullptr) return *exec.error();
    return detail::wrap<Process, vmette_process>(
        [&](vmette_process** out) { return vmette_session_exec(capi(), exec.capi(), out); });
  }

  [[nodiscard]] State state() const noexcept {
    return static_cast<State>(vmette_session_state(capi()));
  }
  [[nodiscard]] End end() const noexcept { return static_cast<End>(vmette_session_end(capi())); }
  [[nodiscard]] int exit_code() const noexcept { return vmette_session_exit_code(capi()); }
  [[nodiscard]] std::string_view end_message() const noexcept {
    return vmette_session_end_message(capi());
  }
  [[nodiscard]] std::string_view cmdline() const noexcept { return vmette_session_cmdline(capi()); }
  [[nodiscard]] std::uint32_t vsock_port() const noexcept {
    return vmette_session_vsock_port(capi());
  }
  [[nodiscard]] int ready_fd() const noexcept { return vmette_session_ready_fd(capi()); }
  [[nodiscard]] int end_fd() const noexcept { return vmette_session_end_fd(capi()); }

  [[nodiscard]] std::size_t timeline_count() const noexcept {
    return vmette_session_timeline_count(capi());
  }
  /// `index` is below timeline_count().
  [[nodiscard]] TimelineEntry timeline(std::size_t index) const noexcept {
    return {vmette_session_timeline_name(capi(), index),
            std::chrono::microseconds(vmette_session_timeline_us(capi(), index))};
  }

  [[nodiscard]] result<Output> output() const noexcept {
    return detail::wrap<Output, vmette_output>(
        [this](vmette_output** out) { return vmette_session_output(capi(), out); });
  }
  [[nodiscard]] result<Buffer> console() const noexcept {
    return detail::wrap<Buffer, vmette_buffer>(
        [this](vmette_buffer** out) { return vmette_session_console(capi(), out); });
  }

  [[nodiscard]] vmette_session* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_session* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_session, vmette_session_delete> ptr_;
};

/// vmette_log_to_fd(): for the whole process.
[[nodiscard]] inline result<void> log_to_fd(int fd, LogLevel level) noexcept {
  return detail::check(vmette_log_to_fd(fd, static_cast<vmette_log_level>(level)));
}
/// The number of a signal named like "TERM" or "SIGTERM" in the guest, 0 for none.
[[nodiscard]] inline int signal_number(const char* name) noexcept {
  return vmette_signal_number(name);
}

/// vmette_run(): uses the terminal and signals, one call at a time in a process.
[[nodiscard]] inline result<Output> run(const Config& config) noexcept {
  if (config.error() != nullptr) return *config.error();
  return detail::wrap<Output, vmette_output>(
      [&config](vmette_output** out) { return vmette_run(config.capi(), out); });
}

}  // namespace vmette

#endif
