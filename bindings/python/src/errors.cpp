#include <exception>

#include "bind.h"

namespace vmette::python {
namespace {

// vmette._errors decides which exception it becomes.
void raise(const Error& error) {
  const py::object make = py::module_::import("vmette._errors").attr("from_core");
  const py::object raised =
      make(static_cast<int>(error.code()), to_str(error.message()), to_str(error.stage()),
           error.errno_value(), to_bytes(error.console()), error.elapsed().count());
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(raised.ptr())), raised.ptr());
}

void translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const Failure& failure) {
    raise(failure.error);
  }
}

}  // namespace

Error to_error(py::error_already_set& raised) {
  const py::object exception = raised.value();
  const std::string message = py::str(exception);
  const py::object code = py::getattr(exception, "code", py::none());
  const py::object number = py::getattr(exception, "errno", py::none());
  return {py::isinstance<py::int_>(code) ? static_cast<ErrorCode>(code.cast<int>())
                                         : ErrorCode::kProvider,
          std::string(Py_TYPE(exception.ptr())->tp_name) + ": " + message,
          py::isinstance<py::int_>(number) ? number.cast<int>() : 0};
}

void bind_errors(py::module_& module) {
  py::register_exception_translator(translate);
  module.def("code_name", [](int code) { return vmette::code_name(static_cast<ErrorCode>(code)); });
}

}  // namespace vmette::python
