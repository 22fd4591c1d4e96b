/// @file session.hpp
/// One virtual machine, from its start to its end. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_SESSION_HPP
#define VMETTE_SESSION_HPP

#include <vmette/session.h>
#include <vmette/config.hpp>
#include <vmette/output.hpp>
#include <vmette/process.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmette {

/// Where a session is in its life, see VMETTE_STATE_*.
enum class State : vmette_state {
  kCreated = VMETTE_STATE_CREATED,
  kStarting = VMETTE_STATE_STARTING,
  kReady = VMETTE_STATE_READY,
  kPaused = VMETTE_STATE_PAUSED,
  kEnded = VMETTE_STATE_ENDED,
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

}  // namespace vmette

#endif
