// Real machines for a pool.
#pragma once

#include <memory>

#include "core/config.h"
#include "core/pool.h"
#include "core/reactor.h"

namespace vmette::core {

// Starts sessions of this configuration. Validates it, resolves the root's spec and settles paths
// on the calling thread, as Session::create() does; refuses what cannot be meant for a machine that
// is started before somebody wants it. `reactor` must outlive the pool's machines.
Result<std::unique_ptr<PoolStarter>> session_starter(Reactor& reactor, const Config& config);

}  // namespace vmette::core
