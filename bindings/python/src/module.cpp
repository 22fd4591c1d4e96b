#include "bind.h"

namespace vmette::python {
namespace {

// The module keeps one set of types for the process, and the library calls back into whichever
// interpreter it finds: a second one in the process is refused.
constexpr const char* kRefusal =
    "vmette works in the main interpreter only, and this is a subinterpreter; import it there, or "
    "in another process";

bool is_main_interpreter() {
  return PyInterpreterState_Get() == PyInterpreterState_Main();
}

// Of a module that the main interpreter has loaded, others get a copy.
void check_interpreter() {
  // Not error_already_set: here it would wait for the lock that this thread has.
  if (!is_main_interpreter()) throw py::import_error(kRefusal);
}

}  // namespace
}  // namespace vmette::python

// What pybind11 does before it comes to the module would wait for ever in a subinterpreter, so its
// function is called by the one that Python looks for.
#define PyInit__core vmette_python_init
PYBIND11_MODULE(_core, module) {
  using namespace vmette::python;
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
#undef PyInit__core

extern "C" PYBIND11_EXPORT PyObject* PyInit__core();   // NOLINT
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {  // NOLINT: Python's name for it
  if (vmette::python::is_main_interpreter()) return vmette_python_init();
  PyErr_SetString(PyExc_ImportError, vmette::python::kRefusal);
  return nullptr;
}
