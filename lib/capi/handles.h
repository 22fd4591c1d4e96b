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

namespace vmette::capi {

// An owned error; a fixed one when not even that can be allocated.
vmette_error* to_c(core::Error error) noexcept;
vmette_error* null_argument(const char* function, const char* argument) noexcept;

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

}  // namespace vmette::capi
