#include "core/pool.h"

#include "capi/machine_handles.h"
#include "core/pool_session.h"

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::core::Pool;
using vmette::core::PoolRequest;
using vmette::core::Reactor;
using vmette::core::Result;

struct vmette_pool_options {
  vmette::core::PoolOptions options;
};

struct vmette_pool {
  // Outlives the pool, which has machines on it.
  std::shared_ptr<Reactor> reactor;
  std::shared_ptr<Pool> pool;
};

struct vmette_pool_request {
  std::shared_ptr<Reactor> reactor;
  std::shared_ptr<Pool> pool;
  std::shared_ptr<PoolRequest> request;
};

struct vmette_pool_counts {
  vmette::core::PoolCounts counts;
};

namespace {

// Wraps what `take` gets. The handle is there first, so that no machine is lost for want of memory.
template <class Take>
Result<void> hand_out(const std::shared_ptr<Reactor>& reactor, Take take, vmette_session** out) {
  auto handle = std::make_unique<vmette_session>();
  auto machine = take();
  if (!machine) return machine.error();
  handle->reactor = reactor;
  handle->session = machine.value()->session();
  *out = handle.release();
  return vmette::core::success();
}

template <class Value>
vmette_error* set(const char* function, vmette_pool_options* options,
                  Value vmette::core::PoolOptions::* field, uint32_t value) {
  if (options == nullptr) return null_argument(function, "options");
  options->options.*field = Value(value);
  return nullptr;
}

}  // namespace

extern "C" {

vmette_error* vmette_pool_options_new(vmette_pool_options** out) {
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    *out = new vmette_pool_options;
    return vmette::core::success();
  });
}

void vmette_pool_options_delete(vmette_pool_options* options) {
  delete options;
}

vmette_error* vmette_pool_options_set_ready(vmette_pool_options* options, uint32_t machines) {
  return set(__func__, options, &vmette::core::PoolOptions::ready, machines);
}

vmette_error* vmette_pool_options_set_most(vmette_pool_options* options, uint32_t machines) {
  return set(__func__, options, &vmette::core::PoolOptions::most, machines);
}

vmette_error* vmette_pool_options_set_idle_ms(vmette_pool_options* options, uint32_t idle_ms) {
  return set(__func__, options, &vmette::core::PoolOptions::idle, idle_ms);
}

vmette_error* vmette_pool_new(const vmette_config* config, const vmette_pool_options* options,
                              vmette_pool** out) {
  if (config == nullptr) return null_argument(__func__, "config");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto reactor = Reactor::get();
    if (!reactor) return reactor.error();
    auto handle = std::make_unique<vmette_pool>();
    handle->reactor = reactor.value();
    auto starter = vmette::core::session_starter(*handle->reactor, config->config);
    if (!starter) return starter.error();
    auto pool = Pool::create(std::move(starter.value()),
                             options == nullptr ? vmette::core::PoolOptions() : options->options);
    if (!pool) return pool.error();
    handle->pool = std::move(pool.value());
    *out = handle.release();
    return vmette::core::success();
  });
}

void vmette_pool_delete(vmette_pool* pool) {
  if (!usable(pool)) return;
  vmette_error_delete(vmette_pool_close(pool));
  pool->pool.reset();
  delete pool;
}

vmette_error* vmette_pool_close(vmette_pool* pool) {
  if (!usable(pool)) return unusable(__func__, "pool", pool);
  return guarded([&]() -> Result<void> {
    pool->pool->close();
    return vmette::core::success();
  });
}

vmette_error* vmette_pool_take(vmette_pool* pool, int64_t timeout_ms, vmette_session** out) {
  if (!usable(pool)) return unusable(__func__, "pool", pool);
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded(
      [&] { return hand_out(pool->reactor, [&] { return pool->pool->take(timeout_ms); }, out); });
}

vmette_error* vmette_pool_request_new(vmette_pool* pool, vmette_pool_request** out) {
  if (!usable(pool)) return unusable(__func__, "pool", pool);
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto handle = std::make_unique<vmette_pool_request>();
    handle->reactor = pool->reactor;
    handle->pool = pool->pool;
    auto request = pool->pool->request();
    if (!request) return request.error();
    handle->request = std::move(request.value());
    *out = handle.release();
    return vmette::core::success();
  });
}

int vmette_pool_request_fd(const vmette_pool_request* request) {
  return usable(request) ? request->request->done().fd() : -1;
}

vmette_error* vmette_pool_request_take(vmette_pool_request* request, int64_t timeout_ms,
                                       vmette_session** out) {
  if (!usable(request)) return unusable(__func__, "request", request);
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&] {
    return hand_out(
        request->reactor, [&] { return request->pool->collect(*request->request, timeout_ms); },
        out);
  });
}

void vmette_pool_request_delete(vmette_pool_request* request) {
  if (!usable(request)) return;
  (void)guarded([&]() -> Result<void> {
    request->pool->cancel(*request->request);
    return vmette::core::success();
  });
  request->request.reset();
  request->pool.reset();
  delete request;
}

vmette_error* vmette_pool_count(const vmette_pool* pool, vmette_pool_counts** out) {
  if (!usable(pool)) return unusable(__func__, "pool", pool);
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    *out = new vmette_pool_counts{pool->pool->counts()};
    return vmette::core::success();
  });
}

void vmette_pool_counts_delete(vmette_pool_counts* counts) {
  delete counts;
}

size_t vmette_pool_counts_ready(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.ready;
}

size_t vmette_pool_counts_starting(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.starting;
}

size_t vmette_pool_counts_taken(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.taken;
}

size_t vmette_pool_counts_ending(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.ending;
}

size_t vmette_pool_counts_waiting(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.waiting;
}

uint64_t vmette_pool_counts_started(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.started;
}

uint64_t vmette_pool_counts_failed(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.failed;
}

uint64_t vmette_pool_counts_died(const vmette_pool_counts* counts) {
  return counts == nullptr ? 0 : counts->counts.died;
}

const char* vmette_pool_counts_last_error(const vmette_pool_counts* counts) {
  return counts == nullptr ? "" : counts->counts.last_error.c_str();
}

}  // extern "C"
