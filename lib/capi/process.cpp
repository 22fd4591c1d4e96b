#include <fmt/format.h>

#include <cstring>
#include <iterator>
#include <string_view>

#include "capi/machine_handles.h"

namespace {

using vmette::capi::bad_choice;
using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::unusable;
using vmette::capi::usable;
using vmette::capi::value_or;
using vmette::core::Code;
using vmette::core::End;
using vmette::core::EndKind;
using vmette::core::Error;
using vmette::core::Event;
using vmette::core::Process;
using vmette::core::Result;
using vmette::wire::Channel;
using vmette::wire::Exit;
using vmette::wire::SignalScope;

Result<void> done() {
  return vmette::core::success();
}

// Linux numbers that are the same on x86_64 and aarch64, whatever the host runs.
constexpr std::string_view kSignalNames[] = {
    "",     "HUP",  "INT",  "QUIT", "ILL",    "TRAP",   "ABRT",  "BUS",  "FPE",  "KILL", "USR1",
    "SEGV", "USR2", "PIPE", "ALRM", "TERM",   "STKFLT", "CHLD",  "CONT", "STOP", "TSTP", "TTIN",
    "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF",   "WINCH", "IO",   "PWR",  "SYS"};
constexpr int32_t kHighestSignal = 64;

Result<void> wait_for(const vmette_process& handle, const Event& event, int64_t timeout_ms,
                      const char* what) {
  if (!event.wait(timeout_ms))
    return Error(Code::kDeadline,
                 fmt::format("the command has not {} after {} ms; wait longer, or kill it", what,
                             timeout_ms));
  if (const auto failure = handle.process->failure()) return *failure;
  return done();
}

bool is_stream(vmette_stream stream) {
  return stream >= VMETTE_STDIN && stream <= VMETTE_STDERR;
}

Exit exit_of(const vmette_process* process) {
  return value_or<Exit>(
      Exit{}, [&] { return usable(process) ? process->process->exit().value_or(Exit{}) : Exit{}; });
}

std::string describe(const Process& process) {
  const auto exit = process.exit();
  if (!exit) return {};
  if (process.timed_out()) return "killed because its timeout passed";
  if (!exit->signalled) return fmt::format("exited with code {}", exit->status);
  return fmt::format("killed by signal {}{}", exit->status, exit->oom ? ", out of memory" : "");
}

int32_t code_of(const Exit& exit) {
  return exit.signalled ? 128 + exit.status : exit.status;
}

}  // namespace

extern "C" {

vmette_error* vmette_session_exec(vmette_session* session, const vmette_exec* exec,
                                  vmette_process** out) {
  if (!usable(session)) return unusable(__func__, "session", session);
  if (exec == nullptr) return null_argument(__func__, "exec");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto handle = std::make_unique<vmette_process>();
    auto process = session->session->exec(exec->spec);
    if (!process) return process.error();
    handle->reactor = session->reactor;
    handle->session = session->session;
    handle->process = process.value();
    *out = handle.release();
    return done();
  });
}

void vmette_process_delete(vmette_process* process) {
  if (!usable(process)) return;
  for (const Channel channel : {Channel::kStdin, Channel::kStdout, Channel::kStderr})
    process->process->take_fd(channel).reset();
  delete process;
}

vmette_error* vmette_process_wait_started(const vmette_process* process, int64_t timeout_ms) {
  if (!usable(process)) return unusable(__func__, "process", process);
  return guarded(
      [&] { return wait_for(*process, process->process->started(), timeout_ms, "started"); });
}

vmette_error* vmette_process_wait(const vmette_process* process, int64_t timeout_ms) {
  if (!usable(process)) return unusable(__func__, "process", process);
  return guarded(
      [&] { return wait_for(*process, process->process->complete(), timeout_ms, "ended"); });
}

int vmette_process_exit_fd(const vmette_process* process) {
  return usable(process) ? process->process->exited().fd() : -1;
}

int vmette_process_started_fd(const vmette_process* process) {
  return usable(process) ? process->process->started().fd() : -1;
}

int vmette_process_complete_fd(const vmette_process* process) {
  return usable(process) ? process->process->complete().fd() : -1;
}

int vmette_process_fd(const vmette_process* process, vmette_stream stream) {
  if (!usable(process) || !is_stream(stream)) return -1;
  return process->process->caller_fd(static_cast<Channel>(stream));
}

int vmette_process_take_fd(vmette_process* process, vmette_stream stream) {
  if (!usable(process) || !is_stream(stream)) return -1;
  return process->process->take_fd(static_cast<Channel>(stream)).release();
}

void vmette_process_close_fd(vmette_process* process, vmette_stream stream) {
  if (!usable(process) || !is_stream(stream)) return;
  process->process->take_fd(static_cast<Channel>(stream)).reset();
}

vmette_error* vmette_process_signal(vmette_process* process, int32_t number, vmette_scope scope) {
  if (!usable(process)) return unusable(__func__, "process", process);
  if (scope < VMETTE_SCOPE_PROCESS || scope > VMETTE_SCOPE_TREE)
    return bad_choice(__func__, "scope", scope, VMETTE_SCOPE_TREE);
  return guarded([&]() -> Result<void> {
    if (number < 1 || number > kHighestSignal)
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: argument 'number' is {}; pass a signal from 1 to {}",
                               "vmette_process_signal", number, kHighestSignal));
    process->session->post([target = process->process, number, scope] {
      target->send_signal(number, static_cast<SignalScope>(scope));
    });
    return done();
  });
}

vmette_error* vmette_process_kill(vmette_process* process) {
  constexpr int32_t kKill = 9;
  return vmette_process_signal(process, kKill, VMETTE_SCOPE_TREE);
}

vmette_error* vmette_process_resize(vmette_process* process, uint16_t rows, uint16_t cols) {
  if (!usable(process)) return unusable(__func__, "process", process);
  return guarded([&]() -> Result<void> {
    if (rows == 0 || cols == 0)
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: a terminal of {} x {}; give at least 1 x 1",
                               "vmette_process_resize", rows, cols));
    process->session->post([target = process->process, rows, cols] {
      target->resize(vmette::wire::WindowSize{rows, cols});
    });
    return done();
  });
}

int32_t vmette_signal_number(const char* name) {
  if (name == nullptr) return 0;
  std::string_view wanted(name);
  if (wanted.substr(0, 3) == "SIG") wanted.remove_prefix(3);
  for (size_t i = 1; i < std::size(kSignalNames); ++i)
    if (kSignalNames[i] == wanted) return static_cast<int32_t>(i);
  return 0;
}

bool vmette_process_ended(const vmette_process* process) {
  return usable(process) && process->process->exit().has_value();
}

int32_t vmette_process_exit_code(const vmette_process* process) {
  return vmette_process_ended(process) ? code_of(exit_of(process)) : -1;
}

int32_t vmette_process_term_signal(const vmette_process* process) {
  const Exit exit = exit_of(process);
  return exit.signalled ? exit.status : 0;
}

bool vmette_process_out_of_memory(const vmette_process* process) {
  return exit_of(process).oom;
}

bool vmette_process_timed_out(const vmette_process* process) {
  return usable(process) && process->process->timed_out();
}

const char* vmette_process_end_message(const vmette_process* process) {
  if (!usable(process)) return "";
  return value_or<const char*>("", [&] {
    const std::lock_guard lock(process->mutex);
    if (process->end_message.empty()) process->end_message = describe(*process->process);
    return process->end_message.c_str();
  });
}

uint32_t vmette_process_pid(const vmette_process* process) {
  return usable(process) ? process->process->pid() : 0;
}

uint64_t vmette_process_wall_us(const vmette_process* process) {
  return exit_of(process).wall_us;
}

uint64_t vmette_process_user_us(const vmette_process* process) {
  return exit_of(process).user_us;
}

uint64_t vmette_process_system_us(const vmette_process* process) {
  return exit_of(process).system_us;
}

uint64_t vmette_process_max_rss_kib(const vmette_process* process) {
  return exit_of(process).max_rss_kib;
}

vmette_error* vmette_process_output(const vmette_process* process, vmette_output** out) {
  if (!usable(process)) return unusable(__func__, "process", process);
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    const auto exit = process->process->exit();
    End end;
    if (exit) end = {EndKind::kExited, code_of(*exit), describe(*process->process)};
    *out = new vmette_output{{end, process->process->captured()}};
    return done();
  });
}

}  // extern "C"
