#include <pybind11/stl.h>

#include <vector>

#include "bind.h"

namespace vmette::python {
namespace {

py::list timeline(const Session& session) {
  py::list points;
  for (std::size_t i = 0; i < session.timeline_count(); ++i) {
    const TimelineEntry entry = session.timeline(i);
    points.append(py::make_tuple(to_str(entry.name), entry.at.count()));
  }
  return points;
}

// (why, exit code, message)
py::tuple ending(const Session& session) {
  return py::make_tuple(static_cast<int>(session.end()), session.exit_code(),
                        to_str(session.end_message()));
}

py::tuple to_python(const Output& output) {
  return py::make_tuple(output.exit_code(), to_str(output.end_message()),
                        to_bytes(output.stdout_text()), to_bytes(output.stderr_text()),
                        to_bytes(output.combined()), output.truncated());
}

std::vector<Owner<Session>> fork(Session& session, std::size_t count, const Config* config) {
  std::vector<Owner<Session>> copies;
  for (Session& copy : value(unlocked([&] { return session.fork(count, config); })))
    copies.emplace_back(new Session(std::move(copy)));
  return copies;
}

void bind_life(py::class_<Session, Owner<Session>>& session) {
  session
      .def_static("create",
                  [](const Config& config) {
                    return value(unlocked([&] { return Session::create(config); }));
                  })
      .def("launch", [](Session& self) { check(unlocked([&] { return self.launch(); })); })
      .def("wait_ready",
           [](Session& self, std::int64_t timeout_ms) {
             check(unlocked([&] { return self.wait_ready(milliseconds(timeout_ms)); }));
           })
      .def("request_stop",
           [](Session& self, std::uint32_t grace_ms) {
             check(unlocked([&] { return self.request_stop(grace_ms); }));
           })
      .def("request_kill",
           [](Session& self) { check(unlocked([&] { return self.request_kill(); })); })
      .def("pause", [](Session& self) { check(unlocked([&] { return self.pause(); })); })
      .def("unpause", [](Session& self) { check(unlocked([&] { return self.unpause(); })); })
      .def("exec",
           [](Session& self, const Exec& exec) {
             return value(unlocked([&] { return self.exec(exec); }));
           })
      .def("snapshot",
           [](Session& self, const std::string& path) {
             return value(unlocked([&] { return self.snapshot(path); }));
           })
      .def("fork", &fork);
}

}  // namespace

void bind_session(py::module_& module) {
  py::class_<Session, Owner<Session>> session(module, "Session");
  bind_life(session);
  session.def("state", [](const Session& self) { return static_cast<int>(self.state()); })
      .def("ending", &ending)
      .def("cmdline", [](const Session& self) { return to_str(self.cmdline()); })
      .def("vsock_port", &Session::vsock_port)
      .def("ready_fd", &Session::ready_fd)
      .def("end_fd", &Session::end_fd)
      .def("timeline", &timeline)
      .def("output", [](const Session& self) { return to_python(value(self.output())); })
      .def("console", [](const Session& self) { return to_bytes(value(self.console()).data()); });
  module.def("run_stop", [] { vmette::stop_run(); });
  module.def("run", [](const Config& config) {
    return to_python(value(unlocked([&] { return vmette::run(config); })));
  });
}

}  // namespace vmette::python
