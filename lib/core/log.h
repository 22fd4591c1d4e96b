#pragma once

#include <cstdint>
#include <string_view>

namespace vmette::core {

// Same numbers as VMETTE_LOG_*.
enum class LogLevel : int32_t { kOff = 0, kError = 1, kInfo = 2, kDebug = 3 };

// Where the process's log goes; -1: nowhere. Any thread.
void set_log(int fd, LogLevel level);

// Whether a line of this level would be written: ask before composing one that costs something.
bool log_enabled(LogLevel level);

// Writes one line, if the descriptor takes it at once. Never blocks, never fails. Any thread.
void log(LogLevel level, uint64_t session, std::string_view text);

}  // namespace vmette::core
