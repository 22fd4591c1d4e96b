// What the parts of the compiled module share. It is a plain face of vmette.hpp: names, lifetimes
// and threads as there, errors as exceptions, no wait with the interpreter's lock held. What makes
// it pleasant is written in Python above it.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vmette.hpp>

namespace vmette::python {

namespace py = pybind11;

// Throws a library's error as the exception of Python that it is. With the interpreter's lock.
[[noreturn]] void fail(const Error& error);

inline void check(const result<void>& done) {
  if (!done) fail(done.error());
}

template <class T>
T value(result<T>&& made) {
  if (!made) fail(made.error());
  return std::move(made).value();
}

// Until Python 3.14 a thread that comes back to an interpreter which has ended is unwound from
// within, through code that lets nothing be thrown: that would end the process. It stays here.
[[noreturn]] inline void stay() {
  for (;;) ::pause();
}

// Without the interpreter's lock as long as it lives.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      stay();
    }
  }

 private:
  PyThreadState* state_;
};

// With the interpreter's lock as long as it lives, for the library's callbacks.
class Locked {
 public:
  Locked() {
    try {
      state_ = PyGILState_Ensure();
    } catch (...) {
      stay();
    }
  }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  ~Locked() { PyGILState_Release(state_); }

 private:
  PyGILState_STATE state_{};
};

// Calls what is written in Python. Who is caught in there by the interpreter's end stays in there.
inline py::object call(py::handle function, const py::tuple& arguments) {
  PyObject* made = nullptr;
  try {
    made = PyObject_CallObject(function.ptr(), arguments.ptr());
  } catch (...) {
    stay();
  }
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

// Runs what may wait, or takes the library's locks, without the interpreter's lock.
template <class Body>
auto unlocked(Body body) {
  const Unlocked here;
  return body();
}

// Whatever ends a machine or waits for one is freed without the interpreter's lock.
template <class T>
struct UnlockedDelete {
  void operator()(T* object) const {
    const Unlocked here;
    delete object;
  }
};
template <class T>
using Owner = std::unique_ptr<T, UnlockedDelete<T>>;

inline py::bytes to_bytes(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}

// Text for a person: bytes that are no UTF-8 are shown as escapes.
inline py::str to_str(std::string_view text) {
  return py::reinterpret_steal<py::str>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace"));
}

inline std::chrono::milliseconds milliseconds(std::int64_t count) {
  return std::chrono::milliseconds(count);
}

// The error that a Python callback has failed with, for the library to pass on.
Error to_error(py::error_already_set& raised);

void bind_errors(py::module_& module);
void bind_config(py::module_& module);
void bind_files(py::module_& module);
void bind_pool(py::module_& module);
void bind_process(py::module_& module);
void bind_provider(py::module_& module);
void bind_session(py::module_& module);
void bind_snapshot(py::module_& module);

}  // namespace vmette::python
