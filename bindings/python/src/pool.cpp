#include "bind.h"

namespace vmette::python {
namespace {

Owner<Pool> new_pool(const Config& config, std::uint32_t ready, std::uint32_t most,
                     std::uint32_t idle_ms) {
  // On the heap: GCC 12 believes that a local one may be destroyed half made.
  const auto options = std::make_unique<PoolOptions>();
  options->set_ready(ready).set_most(most).set_idle_ms(idle_ms);
  return Owner<Pool>(new Pool(value(unlocked([&] { return Pool::create(config, *options); }))));
}

// In the order of vmette.PoolCounts's fields.
py::tuple to_python(const PoolCounts& counts) {
  return py::make_tuple(counts.ready(), counts.starting(), counts.taken(), counts.ending(),
                        counts.waiting(), counts.started(), counts.failed(), counts.died(),
                        to_str(counts.last_error()));
}

}  // namespace

void bind_pool(py::module_& module) {
  py::class_<PoolRequest, Owner<PoolRequest>>(module, "PoolRequest")
      .def("fd", &PoolRequest::fd)
      .def("take", [](PoolRequest& self, std::int64_t timeout_ms) {
        return value(unlocked([&] { return self.take(milliseconds(timeout_ms)); }));
      });
  py::class_<Pool, Owner<Pool>>(module, "Pool")
      .def_static("create", &new_pool)
      .def("request", [](Pool& self) { return value(unlocked([&] { return self.request(); })); })
      .def(
          "count",
          [](const Pool& self) { return to_python(value(unlocked([&] { return self.count(); }))); })
      .def("close", [](Pool& self) { check(unlocked([&] { return self.close(); })); });
}

}  // namespace vmette::python
