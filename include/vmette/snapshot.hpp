/// @file snapshot.hpp
/// Machines that were saved, and machines that start from them. Part of vmette.hpp, which has the
/// conventions.
#ifndef VMETTE_SNAPSHOT_HPP
#define VMETTE_SNAPSHOT_HPP

#include <vmette/snapshot.h>
#include <vmette/config.hpp>
#include <vmette/provider.hpp>
#include <vmette/session.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace vmette {

/// The machine while it is warmed up: a Session that belongs to the build.
class WarmUpSession {
 public:
  explicit WarmUpSession(vmette_session* borrowed) noexcept : session_(borrowed) {}
  WarmUpSession(const WarmUpSession&) = delete;
  WarmUpSession& operator=(const WarmUpSession&) = delete;
  ~WarmUpSession() { (void)session_.capi_release(); }

  [[nodiscard]] Session& operator*() noexcept { return session_; }
  [[nodiscard]] Session* operator->() noexcept { return &session_; }

 private:
  Session session_;
};

/// Prepares a machine before it is saved, see vmette_warm_up. What it throws becomes an error.
using WarmUp = std::function<result<void>(Session&)>;

namespace detail {

inline vmette_error* call_warm_up(void* env, vmette_session* raw) noexcept {
  return contain([&]() -> vmette_error* {
    WarmUpSession session(raw);
    const result<void> done = (*static_cast<const WarmUp*>(env))(*session);
    return done ? nullptr : to_c(done.error());
  });
}

/// The handle, or null when there is no configuration.
inline const vmette_config* capi_of(const Config* config) noexcept {
  return config == nullptr ? nullptr : config->capi();
}

}  // namespace detail

/// A saved machine: what is in a snapshot's directory. All methods from any thread.
class Snapshot {
 public:
  [[nodiscard]] static result<Snapshot> build(const Config& config, const Text& path,
                                              const WarmUp& warm_up = {}) noexcept {
    if (config.error() != nullptr) return *config.error();
    if (!path.whole()) return Error::embedded_nul();
    return detail::wrap<Snapshot, vmette_snapshot>([&](vmette_snapshot** out) {
      return vmette_snapshot_build(config.capi(), path.c_str(),
                                   warm_up ? detail::call_warm_up : nullptr,
                                   const_cast<WarmUp*>(&warm_up), out);
    });
  }
  [[nodiscard]] static result<Snapshot> open(const Text& path) noexcept {
    if (!path.whole()) return Error::embedded_nul();
    return detail::wrap<Snapshot, vmette_snapshot>(
        [&](vmette_snapshot** out) { return vmette_snapshot_open(path.c_str(), out); });
  }
  [[nodiscard]] static result<void> remove(const Text& path) noexcept {
    if (!path.whole()) return Error::embedded_nul();
    return detail::check(vmette_snapshot_remove(path.c_str()));
  }
  /// Takes ownership.
  explicit Snapshot(vmette_snapshot* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] result<Session> resume() const noexcept { return resume(nullptr); }
  [[nodiscard]] result<Session> resume(const Config& config) const noexcept {
    if (config.error() != nullptr) return *config.error();
    return resume(&config);
  }
  [[nodiscard]] result<void> verify() const noexcept {
    return detail::check(vmette_snapshot_verify(capi()));
  }

  [[nodiscard]] std::string_view path() const noexcept { return vmette_snapshot_path(capi()); }
  [[nodiscard]] std::string_view created_at() const noexcept {
    return vmette_snapshot_created_at(capi());
  }
  [[nodiscard]] std::string_view manifest() const noexcept {
    return vmette_snapshot_manifest(capi());
  }
  [[nodiscard]] std::uint32_t vcpus() const noexcept { return vmette_snapshot_vcpus(capi()); }
  [[nodiscard]] std::uint64_t mem_mib() const noexcept { return vmette_snapshot_mem_mib(capi()); }
  [[nodiscard]] std::chrono::microseconds pause() const noexcept {
    return std::chrono::microseconds(vmette_snapshot_pause_us(capi()));
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return vmette_snapshot_bytes(capi()); }

  [[nodiscard]] vmette_snapshot* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_snapshot* capi_release() noexcept { return ptr_.release(); }

 private:
  [[nodiscard]] result<Session> resume(const Config* config) const noexcept {
    return detail::wrap<Session, vmette_session>([&](vmette_session** out) {
      return vmette_snapshot_resume(capi(), detail::capi_of(config), out);
    });
  }

  detail::Handle<vmette_snapshot, vmette_snapshot_delete> ptr_;
};

inline result<Snapshot> Session::snapshot(const Text& path) noexcept {
  if (!path.whole()) return Error::embedded_nul();
  return detail::wrap<Snapshot, vmette_snapshot>(
      [&](vmette_snapshot** out) { return vmette_session_snapshot(capi(), path.c_str(), out); });
}

inline result<std::vector<Session>> Session::fork(std::size_t count,
                                                  const Config* config) noexcept {
  if (config != nullptr && config->error() != nullptr) return *config->error();
  std::vector<Session> sessions;
  vmette_error* error = detail::contain([&]() -> vmette_error* {
    std::vector<vmette_session*> raw(count);
    sessions.reserve(count);
    if (vmette_error* failed =
            vmette_session_fork(capi(), count, detail::capi_of(config), raw.data()))
      return failed;
    for (vmette_session* one : raw) sessions.emplace_back(one);
    return nullptr;
  });
  if (error != nullptr) return Error(error);
  return sessions;
}

}  // namespace vmette

#endif
