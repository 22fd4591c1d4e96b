#include "bind.h"

namespace vmette::python {
namespace {

// The module keeps one set of types and one exception translator for the process, and the library
// calls back into whichever interpreter it finds: a second one in the process is refused.
void check_interpreter() {
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) return;
  PyErr_SetString(PyExc_ImportError,
                  "vmette works in the main interpreter only, and this is a subinterpreter; import "
                  "it there, or in another process");
  throw py::error_already_set();
}

}  // namespace
}  // namespace vmette::python

PYBIND11_MODULE(_core, module) {
  using namespace vmette::python;
  check_interpreter();
  module.def("check_interpreter", &check_interpreter);
  module.attr("version") = vmette::version();
  module.def("log_to_fd", [](int fd, int level) {
    check(vmette::log_to_fd(fd, static_cast<vmette::LogLevel>(level)));
  });
  bind_errors(module);
  bind_config(module);
  bind_process(module);
  bind_provider(module);
  bind_session(module);
  bind_files(module);
  bind_snapshot(module);
  bind_pool(module);
}
