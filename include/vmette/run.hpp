/// @file run.hpp
/// One command on the caller's terminal, and the log. Part of vmette.hpp, which has the
/// conventions.
#ifndef VMETTE_RUN_HPP
#define VMETTE_RUN_HPP

#include <vmette/run.h>
#include <vmette/stream.h>
#include <vmette/config.hpp>
#include <vmette/output.hpp>

namespace vmette {

/// How much the log says, see VMETTE_LOG_*.
enum class LogLevel : vmette_log_level {
  kOff = VMETTE_LOG_OFF,
  kError = VMETTE_LOG_ERROR,
  kInfo = VMETTE_LOG_INFO,
  kDebug = VMETTE_LOG_DEBUG,
};

/// vmette_log_to_fd(): for the whole process.
[[nodiscard]] inline result<void> log_to_fd(int fd, LogLevel level) noexcept {
  return detail::check(vmette_log_to_fd(fd, static_cast<vmette_log_level>(level)));
}

/// vmette_run(): uses the terminal and signals, one call at a time in a process.
[[nodiscard]] inline result<Output> run(const Config& config) noexcept {
  if (config.error() != nullptr) return *config.error();
  return detail::wrap<Output, vmette_output>(
      [&config](vmette_output** out) { return vmette_run(config.capi(), out); });
}

/// vmette_run_stop(): stops the run() that is under way.
inline void stop_run() noexcept {
  vmette_run_stop();
}

}  // namespace vmette

#endif
