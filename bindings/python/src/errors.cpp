#include "bind.h"

namespace vmette::python {
// vmette._errors decides which exception it becomes. Made here and not by a translator of
// pybind11's: that is called while an exception is handled, where call() cannot hold a thread back.
void fail(const Error& error) {
  // Never freed; imported once, since an import runs Python.
  static PyObject* const make =
      py::object(py::module_::import("vmette._errors").attr("from_core")).release().ptr();
  const py::object raised =
      call(make, py::make_tuple(static_cast<int>(error.code()), to_str(error.message()),
                                to_str(error.stage()), error.errno_value(),
                                to_bytes(error.console()), error.elapsed().count()));
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(raised.ptr())), raised.ptr());
  throw py::error_already_set();
}

// Only an error of the library's own has a code and an errno that mean something here.
Error to_error(py::error_already_set& raised) {
  const py::object& exception = raised.value();
  const std::string kind = Py_TYPE(exception.ptr())->tp_name;
  try {
    const std::string message = py::str(exception);
    if (!py::isinstance(exception, py::module_::import("vmette._errors").attr("Error")))
      return {ErrorCode::kProvider, kind + ": " + message};
    return {static_cast<ErrorCode>(exception.attr("code").cast<int>()), message};
  } catch (const std::exception&) {
    return {ErrorCode::kProvider, kind};
  }
}

void bind_errors(py::module_& module) {
  module.def("code_name", [](int code) { return vmette::code_name(static_cast<ErrorCode>(code)); });
}

}  // namespace vmette::python
