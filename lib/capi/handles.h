// What stands behind the opaque handles of vmette.h, and the one way errors leave the library.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <string>

#include "core/config.h"
#include "core/error.h"
#include "core/reactor.h"
#include "core/run.h"
#include "core/session.h"
#include "vmette.h"

struct vmette_error {
  vmette::core::Error error;
};

struct vmette_config {
  vmette::core::Config config;
};

struct vmette_session {
  // Outlives the session; see Session::create().
  std::shared_ptr<vmette::core::Reactor> reactor;
  std::shared_ptr<vmette::core::Session> session;

  mutable std::mutex mutex;
  // Guarded by mutex: strings that callers borrow. Elements never move.
  mutable std::deque<std::string> lent;
  mutable const std::string* end_message = nullptr;
  mutable const std::string* cmdline = nullptr;
  mutable std::deque<vmette::core::TimelineEntry> timeline;
};

struct vmette_output {
  vmette::core::RunOutput output;
};

struct vmette_buffer {
  std::string data;
};

struct vmette_exec {
  vmette::core::ProcessSpec spec;
};

struct vmette_process {
  // In this order: the process and the session go before the reactor.
  std::shared_ptr<vmette::core::Reactor> reactor;
  std::shared_ptr<vmette::core::Session> session;
  std::shared_ptr<vmette::core::Process> process;

  mutable std::mutex mutex;
  // Guarded by mutex: what callers borrow.
  mutable std::string end_message;
};

namespace vmette::capi {

// An owned error; a fixed one when not even that can be allocated.
vmette_error* to_c(core::Error error) noexcept;
vmette_error* null_argument(const char* function, const char* argument) noexcept;
// `value` is not one of the named values 0 to `last`.
vmette_error* bad_choice(const char* function, const char* argument, int32_t value,
                         int32_t last) noexcept;

// The funnel: runs `body`, which returns core::Result<void>, and lets no exception out.
template <class Body>
vmette_error* guarded(Body&& body) noexcept {
  try {
    core::Result<void> result = body();
    return result ? nullptr : to_c(std::move(result).error());
  } catch (const std::bad_alloc&) {
    return to_c(core::Error(core::Code::kNoMemory, "memory ran out"));
  } catch (const std::exception& error) {
    return to_c(core::Error(core::Code::kInternal, core::one_line(error.what())));
  }
}

// Runs a getter that may allocate; `otherwise` when it cannot.
template <class T, class Body>
T value_or(T otherwise, Body&& body) noexcept {
  try {
    return body();
  } catch (const std::exception&) {
    return otherwise;
  }
}

}  // namespace vmette::capi
