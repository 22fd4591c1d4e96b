#include "bind.h"

namespace vmette::python {

void bind_snapshot(py::module_& module) {
  py::class_<Snapshot, Owner<Snapshot>>(module, "Snapshot")
      .def_static("open",
                  [](const std::string& path) {
                    return value(unlocked([&] { return Snapshot::open(path); }));
                  })
      .def_static(
          "remove",
          [](const std::string& path) { check(unlocked([&] { return Snapshot::remove(path); })); })
      .def("resume",
           [](const Snapshot& self, const Config* config) {
             return value(unlocked(
                 [&] { return config == nullptr ? self.resume() : self.resume(*config); }));
           })
      .def("verify", [](const Snapshot& self) { check(unlocked([&] { return self.verify(); })); })
      .def("path", [](const Snapshot& self) { return to_bytes(self.path()); })
      .def("created_at", [](const Snapshot& self) { return to_str(self.created_at()); })
      .def("manifest", [](const Snapshot& self) { return to_str(self.manifest()); })
      .def("vcpus", &Snapshot::vcpus)
      .def("mem_mib", &Snapshot::mem_mib)
      .def("pause_us", [](const Snapshot& self) { return self.pause().count(); })
      .def("bytes", &Snapshot::bytes);
}

}  // namespace vmette::python
