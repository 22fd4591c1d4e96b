/// @file call.hpp
/// Calls to a running machine that return at once. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_CALL_HPP
#define VMETTE_CALL_HPP

#include <vmette/call.h>
#include <vmette/error.hpp>
#include <vmette/file.hpp>
#include <vmette/output.hpp>
#include <vmette/session.hpp>

#include <chrono>
#include <cstdint>
#include <string_view>

namespace vmette {

/// A call that is under way and brings a T. Its destruction cancels it unless it is over. All
/// methods from any thread.
template <class T>
class Call {
 public:
  /// Takes ownership of a call that brings a T.
  explicit Call(vmette_call* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] int done_fd() const noexcept { return vmette_call_done_fd(capi()); }
  [[nodiscard]] result<void> wait(std::chrono::milliseconds timeout = kForever) const noexcept {
    return detail::check(vmette_call_wait(capi(), timeout.count()));
  }
  /// The answer, once. Of a Call<void>: how it went, as often as wanted.
  [[nodiscard]] result<T> take() noexcept;
  void cancel() noexcept { vmette_call_cancel(capi()); }

  [[nodiscard]] vmette_call* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_call* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_call, vmette_call_delete> ptr_;
};

template <>
inline result<void> Call<void>::take() noexcept {
  return wait(std::chrono::milliseconds(0));
}
template <>
inline result<bool> Call<bool>::take() noexcept {
  bool there = false;
  if (vmette_error* error = vmette_call_take_exists(capi(), &there)) return Error(error);
  return there;
}
template <>
inline result<Buffer> Call<Buffer>::take() noexcept {
  return detail::wrap<Buffer, vmette_buffer>(
      [this](vmette_buffer** out) { return vmette_call_take_buffer(capi(), out); });
}
template <>
inline result<Stat> Call<Stat>::take() noexcept {
  return detail::wrap<Stat, vmette_stat>(
      [this](vmette_stat** out) { return vmette_call_take_stat(capi(), out); });
}
template <>
inline result<Listing> Call<Listing>::take() noexcept {
  return detail::wrap<Listing, vmette_listing>(
      [this](vmette_listing** out) { return vmette_call_take_listing(capi(), out); });
}
template <>
inline result<Stats> Call<Stats>::take() noexcept {
  return detail::wrap<Stats, vmette_stats>(
      [this](vmette_stats** out) { return vmette_call_take_stats(capi(), out); });
}

inline result<Call<Buffer>> Session::begin_read_file(const Text& path, std::size_t most) noexcept {
  return begin<Buffer>(vmette_session_begin_read_file, path, most);
}
inline result<Call<void>> Session::begin_write_file(const Text& path, std::string_view data,
                                                    FileFlags flags, std::uint32_t mode) noexcept {
  return begin<void>(vmette_session_begin_write_file, path, static_cast<const void*>(data.data()),
                     data.size(), flags, mode);
}
inline result<Call<Stat>> Session::begin_stat(const Text& path, FileFlags flags) noexcept {
  return begin<Stat>(vmette_session_begin_stat, path, flags);
}
inline result<Call<bool>> Session::begin_exists(const Text& path) noexcept {
  return begin<bool>(vmette_session_begin_exists, path);
}
inline result<Call<Listing>> Session::begin_list(const Text& path) noexcept {
  return begin<Listing>(vmette_session_begin_list, path);
}
inline result<Call<void>> Session::begin_mkdir(const Text& path, std::uint32_t mode,
                                               FileFlags flags) noexcept {
  return begin<void>(vmette_session_begin_mkdir, path, mode, flags);
}
inline result<Call<void>> Session::begin_remove(const Text& path, FileFlags flags) noexcept {
  return begin<void>(vmette_session_begin_remove, path, flags);
}
inline result<Call<void>> Session::begin_rename(const Text& path, const Text& to,
                                                FileFlags flags) noexcept {
  return begin<void>(vmette_session_begin_rename, path, to, flags);
}
inline result<Call<void>> Session::begin_symlink(const Text& target, const Text& path) noexcept {
  return begin<void>(vmette_session_begin_symlink, target, path);
}
inline result<Call<void>> Session::begin_chmod(const Text& path, std::uint32_t mode) noexcept {
  return begin<void>(vmette_session_begin_chmod, path, mode);
}
inline result<Call<void>> Session::begin_chown(const Text& path, std::int64_t uid, std::int64_t gid,
                                               FileFlags flags) noexcept {
  return begin<void>(vmette_session_begin_chown, path, uid, gid, flags);
}
inline result<Call<void>> Session::begin_set_mtime(const Text& path,
                                                   std::chrono::nanoseconds since_1970,
                                                   FileFlags flags) noexcept {
  return begin<void>(vmette_session_begin_set_mtime, path,
                     static_cast<std::int64_t>(since_1970.count()), flags);
}
inline result<Call<Stats>> Session::begin_stats() noexcept {
  return begin<Stats>(vmette_session_begin_stats);
}

}  // namespace vmette

#endif
