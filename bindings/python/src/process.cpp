#include <pybind11/stl.h>

#include <vector>

#include "bind.h"

namespace vmette::python {
namespace {

void ensure(const Exec& exec) {
  if (exec.error() != nullptr) fail(*exec.error());
}

template <class... Args>
auto setter(Exec& (Exec::*set)(Args...) noexcept) {
  return [set](Exec& self, std::decay_t<Args>... args) {
    (self.*set)(args...);
    ensure(self);
  };
}

auto text_setter(Exec& (Exec::*set)(const Text&) noexcept) {
  return [set](Exec& self, const std::string& text) {
    (self.*set)(text);
    ensure(self);
  };
}

auto stdio_setter(Exec& (Exec::*set)(Stdio) noexcept) {
  return [set](Exec& self, int mode) {
    (self.*set)(static_cast<Stdio>(mode));
    ensure(self);
  };
}

// (stdout, stderr, both in the order of arrival, whether bytes were dropped)
py::tuple captured(const Output& output) {
  return py::make_tuple(to_bytes(output.stdout_text()), to_bytes(output.stderr_text()),
                        to_bytes(output.combined()), output.truncated());
}

void bind_exec(py::module_& module) {
  py::class_<Exec>(module, "Exec")
      .def(py::init<>())
      .def("set_line", text_setter(&Exec::set_line))
      .def("set_argv",
           [](Exec& self, const std::vector<std::string>& argv) {
             self.set_argv(argv);
             ensure(self);
           })
      .def("add_env",
           [](Exec& self, const std::string& key, const std::string& text) {
             self.add_env(key, text);
             ensure(self);
           })
      .def("set_clear_env", setter(&Exec::set_clear_env))
      .def("set_cwd", text_setter(&Exec::set_cwd))
      .def("set_user", text_setter(&Exec::set_user))
      .def("set_stdin", stdio_setter(&Exec::set_stdin))
      .def("set_stdin_bytes",
           [](Exec& self, const py::buffer& bytes) {
             const py::buffer_info all = bytes.request();
             self.set_stdin_bytes({static_cast<const char*>(all.ptr),
                                   static_cast<std::size_t>(all.size * all.itemsize)});
             ensure(self);
           })
      .def("set_stdout", stdio_setter(&Exec::set_stdout))
      .def("set_stderr", stdio_setter(&Exec::set_stderr))
      .def("set_capture_limit", setter(&Exec::set_capture_limit))
      .def("set_tty",
           [](Exec& self, std::uint16_t rows, std::uint16_t cols, const std::string& term) {
             self.set_tty(rows, cols, term);
             ensure(self);
           })
      .def("set_tty_modes", setter(&Exec::set_tty_modes))
      .def("set_timeout_ms", [](Exec& self, std::uint64_t timeout_ms) {
        self.set_timeout(milliseconds(static_cast<std::int64_t>(timeout_ms)));
        ensure(self);
      });
}

// (exit code, signal, out of memory, timed out, end message, wall, user, system in us, RSS in KiB)
py::tuple ending(const Process& process) {
  return py::make_tuple(process.exit_code(), process.term_signal(), process.out_of_memory(),
                        process.timed_out(), to_str(process.end_message()), process.wall().count(),
                        process.user().count(), process.system().count(), process.max_rss_kib());
}

}  // namespace

void bind_process(py::module_& module) {
  bind_exec(module);
  py::class_<Process, Owner<Process>>(module, "Process")
      .def("wait_started",
           [](const Process& self, std::int64_t timeout_ms) {
             check(unlocked([&] { return self.wait_started(milliseconds(timeout_ms)); }));
           })
      .def("wait",
           [](const Process& self, std::int64_t timeout_ms) {
             check(unlocked([&] { return self.wait(milliseconds(timeout_ms)); }));
           })
      .def("started_fd", &Process::started_fd)
      .def("exit_fd", &Process::exit_fd)
      .def("complete_fd", &Process::complete_fd)
      .def("take_fd",
           [](Process& self, int stream) { return self.take_fd(static_cast<Stream>(stream)); })
      .def("close_fd",
           [](Process& self, int stream) { self.close_fd(static_cast<Stream>(stream)); })
      .def("signal",
           [](Process& self, int number, int scope) {
             check(unlocked([&] { return self.signal(number, static_cast<Scope>(scope)); }));
           })
      .def("kill", [](Process& self) { check(unlocked([&] { return self.kill(); })); })
      .def("resize",
           [](Process& self, std::uint16_t rows, std::uint16_t cols) {
             check(unlocked([&] { return self.resize(rows, cols); }));
           })
      .def("ended", &Process::ended)
      .def("ending", &ending)
      .def("pid", &Process::pid)
      .def("output", [](const Process& self) { return captured(value(self.output())); });
  module.def("signal_number", &vmette::signal_number);
}

}  // namespace vmette::python
