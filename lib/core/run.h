#pragma once

#include <memory>

#include "core/config.h"
#include "core/end.h"
#include "core/error.h"
#include "core/session.h"

namespace vmette::core {

// What a session's command has printed so far and how it ended, if it has.
RunOutput output_of(const Session& session);

// The terminal-facing wrapper over one session; see vmette_run() in include/vmette.h.
Result<RunOutput> run(const Config& config);
// Stops the run() that is under way, also one that has no machine yet. Any thread.
void stop_run();

}  // namespace vmette::core
