/// @file pool.hpp
/// Machines that are ready before somebody wants them. Part of vmette.hpp, which has the
/// conventions.
#ifndef VMETTE_POOL_HPP
#define VMETTE_POOL_HPP

#include <vmette/pool.h>
#include <vmette/config.hpp>
#include <vmette/error.hpp>
#include <vmette/session.hpp>
#include <vmette/settings.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmette {

/// How a pool is kept. Setters chain, see Settings.
class PoolOptions : public Settings<PoolOptions, vmette_pool_options, vmette_pool_options_delete> {
 public:
  PoolOptions() noexcept : Settings(vmette_pool_options_new) {}

  PoolOptions& set_ready(std::uint32_t machines) noexcept {
    return set(vmette_pool_options_set_ready, machines);
  }
  PoolOptions& set_most(std::uint32_t machines) noexcept {
    return set(vmette_pool_options_set_most, machines);
  }
  PoolOptions& set_idle_ms(std::uint32_t idle_ms) noexcept {
    return set(vmette_pool_options_set_idle_ms, idle_ms);
  }
};

/// How a pool was doing. Never changes; any thread.
class PoolCounts {
 public:
  /// Takes ownership.
  explicit PoolCounts(vmette_pool_counts* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] std::size_t ready() const noexcept { return vmette_pool_counts_ready(capi()); }
  [[nodiscard]] std::size_t starting() const noexcept {
    return vmette_pool_counts_starting(capi());
  }
  [[nodiscard]] std::size_t taken() const noexcept { return vmette_pool_counts_taken(capi()); }
  [[nodiscard]] std::size_t ending() const noexcept { return vmette_pool_counts_ending(capi()); }
  [[nodiscard]] std::size_t waiting() const noexcept { return vmette_pool_counts_waiting(capi()); }
  [[nodiscard]] std::uint64_t started() const noexcept {
    return vmette_pool_counts_started(capi());
  }
  [[nodiscard]] std::uint64_t failed() const noexcept { return vmette_pool_counts_failed(capi()); }
  [[nodiscard]] std::uint64_t died() const noexcept { return vmette_pool_counts_died(capi()); }
  [[nodiscard]] std::string_view last_error() const noexcept {
    return vmette_pool_counts_last_error(capi());
  }

  [[nodiscard]] vmette_pool_counts* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_pool_counts* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_pool_counts, vmette_pool_counts_delete> ptr_;
};

/// A place in a pool's queue. Its destruction gives the place up, or the machine back.
class PoolRequest {
 public:
  /// Takes ownership.
  explicit PoolRequest(vmette_pool_request* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] int fd() const noexcept { return vmette_pool_request_fd(capi()); }
  [[nodiscard]] result<Session> take(std::chrono::milliseconds timeout = kForever) noexcept {
    return detail::wrap<Session, vmette_session>([&](vmette_session** out) {
      return vmette_pool_request_take(capi(), timeout.count(), out);
    });
  }

  [[nodiscard]] vmette_pool_request* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_pool_request* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_pool_request, vmette_pool_request_delete> ptr_;
};

/// Keeps machines ready and hands them out, first come, first served. Its destruction closes it; no
/// other call may be under way then. All methods from any thread.
class Pool {
 public:
  [[nodiscard]] static result<Pool> create(const Config& config,
                                           const PoolOptions& options = {}) noexcept {
    if (config.error() != nullptr) return *config.error();
    if (options.error() != nullptr) return *options.error();
    return detail::wrap<Pool, vmette_pool>(
        [&](vmette_pool** out) { return vmette_pool_new(config.capi(), options.capi(), out); });
  }
  /// Takes ownership.
  explicit Pool(vmette_pool* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] result<Session> take(std::chrono::milliseconds timeout = kForever) noexcept {
    return detail::wrap<Session, vmette_session>(
        [&](vmette_session** out) { return vmette_pool_take(capi(), timeout.count(), out); });
  }
  [[nodiscard]] result<PoolRequest> request() noexcept {
    return detail::wrap<PoolRequest, vmette_pool_request>(
        [this](vmette_pool_request** out) { return vmette_pool_request_new(capi(), out); });
  }
  [[nodiscard]] result<PoolCounts> count() const noexcept {
    return detail::wrap<PoolCounts, vmette_pool_counts>(
        [this](vmette_pool_counts** out) { return vmette_pool_count(capi(), out); });
  }
  [[nodiscard]] result<void> close() noexcept { return detail::check(vmette_pool_close(capi())); }

  [[nodiscard]] vmette_pool* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_pool* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_pool, vmette_pool_delete> ptr_;
};

}  // namespace vmette

#endif
