#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace vmette::core {

// Told while something long is under way: which step, how far, of how much (0: not known). Runs on
// the thread that made the call. False asks to give up.
using Progress = std::function<bool(const std::string& step, uint64_t done, uint64_t total)>;

}  // namespace vmette::core
