/// @file process.hpp
/// Commands in a running machine. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_PROCESS_HPP
#define VMETTE_PROCESS_HPP

#include <vmette/process.h>
#include <vmette/output.hpp>
#include <vmette/settings.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmette {

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
  Exec& set_tty_modes(bool echo, bool raw) noexcept {
    return set(vmette_exec_set_tty_modes, echo, raw);
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
  [[nodiscard]] int started_fd() const noexcept { return vmette_process_started_fd(capi()); }
  [[nodiscard]] int complete_fd() const noexcept { return vmette_process_complete_fd(capi()); }
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

/// The number of a signal named like "TERM" or "SIGTERM" in the guest, 0 for none.
[[nodiscard]] inline int signal_number(const char* name) noexcept {
  return vmette_signal_number(name);
}

}  // namespace vmette

#endif
