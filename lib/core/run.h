#pragma once

#include <memory>

#include "core/capture.h"
#include "core/config.h"
#include "core/error.h"
#include "core/session.h"

namespace vmette::core {

// How a run ended and, when the configuration asked for it, what the command printed.
struct RunOutput {
  End end;
  CapturedOutput captured;
};

// What a session's command has printed so far and how it ended, if it has.
RunOutput output_of(const Session& session);

// The terminal-facing wrapper over one session; see vmette_run() in include/vmette.h.
Result<RunOutput> run(const Config& config);

}  // namespace vmette::core
