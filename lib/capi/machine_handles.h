// What stands behind the handles of vmette.h that have to do with a running machine. Apart from
// handles.h because it takes the compiler long to read.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "capi/handles.h"
#include "core/process.h"
#include "core/reactor.h"
#include "core/session.h"

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

// Whether there is a handle, and this process has made it. In a child of fork() no thread is behind
// its parent's handles and their locks may be taken for ever: nothing of them is touched there, not
// even to free them.
template <class Handle>
bool usable(const Handle* handle) {
  return handle != nullptr && !handle->reactor->inherited();
}

// What is wrong with a handle that is not usable.
template <class Handle>
vmette_error* unusable(const char* function, const char* argument, const Handle* handle) noexcept {
  if (handle == nullptr) return null_argument(function, argument);
  return inherited_argument(function, argument);
}

}  // namespace vmette::capi
