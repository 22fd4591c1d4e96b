#pragma once

#include <cstdint>
#include <string>

#include "core/capture.h"

namespace vmette::core {

// Same numbers as VMETTE_END_*.
enum class EndKind : int32_t { kNone = 0, kExited = 1, kTimedOut = 2, kStopped = 3, kError = 4 };

// How a session ended. Written once; whoever comes first decides.
struct End {
  EndKind kind = EndKind::kNone;
  int32_t exit_code = -1;
  std::string message;
};

// How a run or a command ended and, where it was asked for, what was printed.
struct RunOutput {
  End end;
  CapturedOutput captured;
};

}  // namespace vmette::core
