// What stands behind the handles that file calls hand out.
#pragma once

#include <memory>
#include <vector>

#include "core/guest_call.h"
#include "core/session.h"
#include "tree/tree.h"
#include "vmette.h"
#include "wire/calls.h"

struct vmette_stat {
  vmette::wire::FileInfo info;
};

struct vmette_listing {
  std::vector<vmette_stat> entries;
};

struct vmette_stats {
  vmette::wire::GuestStats stats;
};

struct vmette_copied {
  vmette::tree::Progress progress;
};

struct vmette_transfer {
  // In this order: the call and the session go before the reactor.
  std::shared_ptr<vmette::core::Reactor> reactor;
  std::shared_ptr<vmette::core::Session> session;
  std::shared_ptr<vmette::core::GuestCall> call;
};

namespace vmette::capi {

// Whether `flags` has no bit beyond `known`.
core::Result<void> check_flags(const char* function, uint32_t flags, uint32_t known);
// The request of a write with the caller's flags and mode.
core::Result<wire::Call> write_call(const char* function, const char* path, uint32_t flags,
                                    uint32_t mode);

}  // namespace vmette::capi
