/// @file session.hpp
/// One virtual machine, from its start to its end. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_SESSION_HPP
#define VMETTE_SESSION_HPP

#include <vmette/session.h>
#include <vmette/config.hpp>
#include <vmette/copy.hpp>
#include <vmette/file.hpp>
#include <vmette/output.hpp>
#include <vmette/process.hpp>
#include <vmette/settings.hpp>
#include <vmette/transfer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

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

class Snapshot;
template <class T>
class Call;

/// One virtual machine. Its destruction ends the machine and waits until nothing of it is left; no
/// other call may be under way then. All methods from any thread.
class Session {
 public:
  using Timeout = std::chrono::milliseconds;

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
  [[nodiscard]] result<void> request_stop(std::uint32_t grace_ms) noexcept {
    return detail::check(vmette_session_request_stop(capi(), grace_ms));
  }
  [[nodiscard]] result<void> request_kill() noexcept {
    return detail::check(vmette_session_request_kill(capi()));
  }
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

  /// See snapshot.h, as for fork().
  [[nodiscard]] result<Snapshot> snapshot(const Text& path) noexcept;
  [[nodiscard]] result<std::vector<Session>> fork(std::size_t count,
                                                  const Config* config = nullptr) noexcept;

  // Files of the machine, see file.h. A timeout that passes gives the call up.

  [[nodiscard]] result<Buffer> read_file(const Text& path, std::size_t most,
                                         Timeout timeout = kForever) noexcept {
    return ask<Buffer, vmette_buffer>(vmette_session_read_file, timeout, path, most);
  }
  [[nodiscard]] result<void> write_file(const Text& path, std::string_view data,
                                        FileFlags flags = FileFlags::kNone,
                                        std::uint32_t mode = kKeepMode,
                                        Timeout timeout = kForever) noexcept {
    return tell(vmette_session_write_file, timeout, path, static_cast<const void*>(data.data()),
                data.size(), flags, mode);
  }
  [[nodiscard]] result<Stat> stat(const Text& path, FileFlags flags = FileFlags::kNone,
                                  Timeout timeout = kForever) noexcept {
    return ask<Stat, vmette_stat>(vmette_session_stat, timeout, path, flags);
  }
  [[nodiscard]] result<bool> exists(const Text& path, Timeout timeout = kForever) noexcept {
    if (!path.whole()) return Error::embedded_nul();
    bool there = false;
    vmette_error* error = vmette_session_exists(capi(), path.c_str(), timeout.count(), &there);
    if (error != nullptr) return Error(error);
    return there;
  }
  [[nodiscard]] result<Listing> list(const Text& path, Timeout timeout = kForever) noexcept {
    return ask<Listing, vmette_listing>(vmette_session_list, timeout, path);
  }
  [[nodiscard]] result<void> mkdir(const Text& path, std::uint32_t mode = 0755,
                                   FileFlags flags = FileFlags::kNone,
                                   Timeout timeout = kForever) noexcept {
    return tell(vmette_session_mkdir, timeout, path, mode, flags);
  }
  [[nodiscard]] result<void> remove(const Text& path, FileFlags flags = FileFlags::kNone,
                                    Timeout timeout = kForever) noexcept {
    return tell(vmette_session_remove, timeout, path, flags);
  }
  [[nodiscard]] result<void> rename(const Text& path, const Text& to,
                                    FileFlags flags = FileFlags::kNone,
                                    Timeout timeout = kForever) noexcept {
    return tell(vmette_session_rename, timeout, path, to, flags);
  }
  [[nodiscard]] result<void> symlink(const Text& target, const Text& path,
                                     Timeout timeout = kForever) noexcept {
    return tell(vmette_session_symlink, timeout, target, path);
  }
  [[nodiscard]] result<void> chmod(const Text& path, std::uint32_t mode,
                                   Timeout timeout = kForever) noexcept {
    return tell(vmette_session_chmod, timeout, path, mode);
  }
  [[nodiscard]] result<void> chown(const Text& path, std::int64_t uid, std::int64_t gid,
                                   FileFlags flags = FileFlags::kNone,
                                   Timeout timeout = kForever) noexcept {
    return tell(vmette_session_chown, timeout, path, uid, gid, flags);
  }
  [[nodiscard]] result<void> set_mtime(const Text& path, std::chrono::nanoseconds since_1970,
                                       FileFlags flags = FileFlags::kNone,
                                       Timeout timeout = kForever) noexcept {
    return tell(vmette_session_set_mtime, timeout, path,
                static_cast<std::int64_t>(since_1970.count()), flags);
  }
  /// See transfer.h.
  [[nodiscard]] result<Transfer> open_read(const Text& path, std::uint64_t offset = 0,
                                           std::uint64_t length = UINT64_MAX) noexcept {
    if (!path.whole()) return Error::embedded_nul();
    return detail::wrap<Transfer, vmette_transfer>([&](vmette_transfer** out) {
      return vmette_session_open_read(capi(), path.c_str(), offset, length, out);
    });
  }
  [[nodiscard]] result<Transfer> open_write(const Text& path, FileFlags flags = FileFlags::kNone,
                                            std::uint32_t mode = kKeepMode) noexcept {
    if (!path.whole()) return Error::embedded_nul();
    return detail::wrap<Transfer, vmette_transfer>([&](vmette_transfer** out) {
      return vmette_session_open_write(capi(), path.c_str(), plain(flags), mode, out);
    });
  }
  /// See copy.h. What `options.progress` throws gives the copy up.
  [[nodiscard]] result<Copied> copy_in(const Text& host_path, const Text& guest_path,
                                       CopyOptions options = {}) noexcept {
    if (!host_path.whole() || !guest_path.whole()) return Error::embedded_nul();
    return detail::wrap<Copied, vmette_copied>([&](vmette_copied** out) {
      return vmette_session_copy_in(capi(), host_path.c_str(), guest_path.c_str(),
                                    plain(options.flags), callback(options), &options.progress,
                                    options.timeout.count(), out);
    });
  }
  [[nodiscard]] result<Copied> copy_out(const Text& guest_path, const Text& host_path,
                                        CopyOptions options = {}) noexcept {
    if (!host_path.whole() || !guest_path.whole()) return Error::embedded_nul();
    return detail::wrap<Copied, vmette_copied>([&](vmette_copied** out) {
      return vmette_session_copy_out(capi(), guest_path.c_str(), host_path.c_str(),
                                     plain(options.flags), options.most_bytes, callback(options),
                                     &options.progress, options.timeout.count(), out);
    });
  }
  /// How the guest is doing.
  [[nodiscard]] result<Stats> stats(Timeout timeout = kForever) noexcept {
    return ask<Stats, vmette_stats>(vmette_session_stats, timeout);
  }

  // The same calls without waiting, see call.h.

  [[nodiscard]] result<Call<Buffer>> begin_read_file(const Text& path, std::size_t most) noexcept;
  [[nodiscard]] result<Call<void>> begin_write_file(const Text& path, std::string_view data,
                                                    FileFlags flags = FileFlags::kNone,
                                                    std::uint32_t mode = kKeepMode) noexcept;
  [[nodiscard]] result<Call<Stat>> begin_stat(const Text& path,
                                              FileFlags flags = FileFlags::kNone) noexcept;
  [[nodiscard]] result<Call<bool>> begin_exists(const Text& path) noexcept;
  [[nodiscard]] result<Call<Listing>> begin_list(const Text& path) noexcept;
  [[nodiscard]] result<Call<void>> begin_mkdir(const Text& path, std::uint32_t mode = 0755,
                                               FileFlags flags = FileFlags::kNone) noexcept;
  [[nodiscard]] result<Call<void>> begin_remove(const Text& path,
                                                FileFlags flags = FileFlags::kNone) noexcept;
  [[nodiscard]] result<Call<void>> begin_rename(const Text& path, const Text& to,
                                                FileFlags flags = FileFlags::kNone) noexcept;
  [[nodiscard]] result<Call<void>> begin_symlink(const Text& target, const Text& path) noexcept;
  [[nodiscard]] result<Call<void>> begin_chmod(const Text& path, std::uint32_t mode) noexcept;
  [[nodiscard]] result<Call<void>> begin_chown(const Text& path, std::int64_t uid, std::int64_t gid,
                                               FileFlags flags = FileFlags::kNone) noexcept;
  [[nodiscard]] result<Call<void>> begin_set_mtime(const Text& path,
                                                   std::chrono::nanoseconds since_1970,
                                                   FileFlags flags = FileFlags::kNone) noexcept;
  [[nodiscard]] result<Call<Stats>> begin_stats() noexcept;

  [[nodiscard]] vmette_session* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_session* capi_release() noexcept { return ptr_.release(); }

 private:
  static bool whole(const Text& text) noexcept { return text.whole(); }
  template <class T>
  static bool whole(const T& /*other*/) noexcept {
    return true;
  }
  static const char* plain(const Text& text) noexcept { return text.c_str(); }
  static vmette_file_flags plain(FileFlags flags) noexcept {
    return static_cast<vmette_file_flags>(flags);
  }
  template <class T>
  static T plain(const T& other) noexcept {
    return other;
  }
  static vmette_progress callback(const CopyOptions& options) noexcept {
    return options.progress ? detail::call_progress : nullptr;
  }
  template <class Function, class... Args>
  result<void> tell(Function function, Timeout timeout, const Args&... args) noexcept {
    if (!(whole(args) && ...)) return Error::embedded_nul();
    return detail::check(function(capi(), plain(args)..., timeout.count()));
  }
  template <class Wrapper, class Raw, class Function, class... Args>
  result<Wrapper> ask(Function function, Timeout timeout, const Args&... args) noexcept {
    if (!(whole(args) && ...)) return Error::embedded_nul();
    return detail::wrap<Wrapper, Raw>(
        [&](Raw** out) { return function(capi(), plain(args)..., timeout.count(), out); });
  }
  template <class T, class Function, class... Args>
  result<Call<T>> begin(Function function, const Args&... args) noexcept {
    if (!(whole(args) && ...)) return Error::embedded_nul();
    return detail::wrap<Call<T>, vmette_call>(
        [&](vmette_call** out) { return function(capi(), plain(args)..., out); });
  }

  detail::Handle<vmette_session, vmette_session_delete> ptr_;
};

}  // namespace vmette

#endif
