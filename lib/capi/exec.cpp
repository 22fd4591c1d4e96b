#include <fmt/format.h>

#include "capi/machine_handles.h"

namespace {

using vmette::capi::bad_choice;
using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::core::Code;
using vmette::core::Error;
using vmette::core::OutputMode;
using vmette::core::ProcessSpec;
using vmette::core::Result;

// Runs `apply(spec)` on a valid handle.
template <class Change>
vmette_error* change(const char* function, vmette_exec* exec, Change&& apply) {
  if (exec == nullptr) return null_argument(function, "exec");
  return guarded([&]() -> Result<void> {
    apply(exec->spec);
    return vmette::core::success();
  });
}

OutputMode output_mode(vmette_stdio mode) {
  if (mode == VMETTE_STDIO_PIPE) return OutputMode::kPipe;
  return mode == VMETTE_STDIO_CAPTURE ? OutputMode::kCapture : OutputMode::kDiscard;
}

vmette_error* set_output(const char* function, vmette_exec* exec, OutputMode ProcessSpec::* field,
                         vmette_stdio mode) {
  if (mode < VMETTE_STDIO_NULL || mode > VMETTE_STDIO_CAPTURE)
    return bad_choice(function, "mode", mode, VMETTE_STDIO_CAPTURE);
  return change(function, exec, [&](ProcessSpec& spec) { spec.*field = output_mode(mode); });
}

}  // namespace

extern "C" {

vmette_error* vmette_exec_new(vmette_exec** out) {
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto exec = std::make_unique<vmette_exec>();
    exec->spec.out = OutputMode::kCapture;
    exec->spec.err = OutputMode::kCapture;
    *out = exec.release();
    return vmette::core::success();
  });
}

void vmette_exec_delete(vmette_exec* exec) {
  delete exec;
}

vmette_error* vmette_exec_set_line(vmette_exec* exec, const char* line) {
  if (line == nullptr) return null_argument(__func__, "line");
  return change(__func__, exec, [&](ProcessSpec& spec) {
    spec.exec.argv = {line};
    spec.exec.shell = true;
  });
}

vmette_error* vmette_exec_set_argv(vmette_exec* exec, const char* const* argv, size_t argc) {
  if (argv == nullptr || argc == 0) return null_argument(__func__, "argv");
  for (size_t i = 0; i < argc; ++i)
    if (argv[i] == nullptr) return null_argument(__func__, "argv");
  return change(__func__, exec, [&](ProcessSpec& spec) {
    spec.exec.argv.assign(argv, argv + argc);
    spec.exec.shell = false;
  });
}

vmette_error* vmette_exec_add_env(vmette_exec* exec, const char* key, const char* value) {
  if (key == nullptr) return null_argument(__func__, "key");
  if (value == nullptr) return null_argument(__func__, "value");
  return change(__func__, exec, [&](ProcessSpec& spec) { spec.exec.env.emplace_back(key, value); });
}

vmette_error* vmette_exec_set_clear_env(vmette_exec* exec, bool on) {
  return change(__func__, exec, [&](ProcessSpec& spec) { spec.exec.clear_env = on; });
}

vmette_error* vmette_exec_set_cwd(vmette_exec* exec, const char* path) {
  if (path == nullptr) return null_argument(__func__, "path");
  return change(__func__, exec, [&](ProcessSpec& spec) { spec.exec.cwd = path; });
}

vmette_error* vmette_exec_set_user(vmette_exec* exec, const char* user) {
  if (user == nullptr) return null_argument(__func__, "user");
  return change(__func__, exec, [&](ProcessSpec& spec) { spec.exec.user = user; });
}

vmette_error* vmette_exec_set_stdin(vmette_exec* exec, vmette_stdio mode) {
  if (mode != VMETTE_STDIO_NULL && mode != VMETTE_STDIO_PIPE)
    return bad_choice(__func__, "mode", mode, VMETTE_STDIO_PIPE);
  return change(__func__, exec, [&](ProcessSpec& spec) {
    spec.stdin_pipe = mode == VMETTE_STDIO_PIPE;
    spec.stdin_bytes.reset();
  });
}

vmette_error* vmette_exec_set_stdin_bytes(vmette_exec* exec, const void* data, size_t size) {
  if (data == nullptr && size != 0) return null_argument(__func__, "data");
  return change(__func__, exec, [&](ProcessSpec& spec) {
    spec.stdin_pipe = false;
    spec.stdin_bytes.emplace(static_cast<const char*>(data), size);
  });
}

vmette_error* vmette_exec_set_stdout(vmette_exec* exec, vmette_stdio mode) {
  return set_output(__func__, exec, &ProcessSpec::out, mode);
}

vmette_error* vmette_exec_set_stderr(vmette_exec* exec, vmette_stdio mode) {
  return set_output(__func__, exec, &ProcessSpec::err, mode);
}

vmette_error* vmette_exec_set_capture_limit(vmette_exec* exec, size_t bytes) {
  return change(__func__, exec, [&](ProcessSpec& spec) { spec.capture_limit = bytes; });
}

vmette_error* vmette_exec_set_tty(vmette_exec* exec, uint16_t rows, uint16_t cols,
                                  const char* term) {
  const char* const call = __func__;
  if (rows == 0 || cols == 0)
    return guarded([&]() -> Result<void> {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: a terminal of {} x {}; give at least 1 x 1", call, rows, cols));
    });
  return change(__func__, exec, [&](ProcessSpec& spec) {
    spec.exec.tty = vmette::wire::WindowSize{rows, cols};
    spec.exec.term = term == nullptr ? "" : term;
  });
}

vmette_error* vmette_exec_set_tty_modes(vmette_exec* exec, bool echo, bool raw) {
  return change(__func__, exec, [&](ProcessSpec& spec) {
    spec.exec.echo = echo;
    spec.exec.raw = raw;
  });
}

vmette_error* vmette_exec_set_timeout_ms(vmette_exec* exec, uint64_t timeout_ms) {
  return change(__func__, exec, [&](ProcessSpec& spec) { spec.timeout_ms = timeout_ms; });
}

}  // extern "C"
