#include "bind.h"

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <mutex>
#include <optional>
#include <stdexcept>
#include <vector>

namespace vmette::python {
namespace {

// Objects that were dropped where nobody had the interpreter's lock. Never freed: a late thread may
// still come.
struct Dropped {
  std::mutex mutex;
  std::vector<PyObject*> objects;
};
Dropped& dropped() {
  static auto* const all = new Dropped;
  return *all;
}

int free_dropped(void* /*unused*/) {
  std::vector<PyObject*> objects;
  {
    const std::lock_guard lock(dropped().mutex);
    objects.swap(dropped().objects);
  }
  for (PyObject* object : objects) Py_DECREF(object);
  return 0;
}

// A Python object that the library owns, and may drop on any thread, with or without the
// interpreter's lock: the object itself is dropped by the interpreter when it next comes to it.
class Kept {
 public:
  explicit Kept(py::object object) : object_(object.release().ptr()) { free_dropped(nullptr); }
  Kept(const Kept& other) : object_(other.object_) {
    const Locked here;
    Py_INCREF(object_);
  }
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    {
      const std::lock_guard lock(dropped().mutex);
      dropped().objects.push_back(object_);
    }
    // A full queue loses nothing: the next one frees all of them.
    (void)Py_AddPendingCall(free_dropped, nullptr);
  }

  // With the interpreter's lock only.
  [[nodiscard]] py::handle get() const { return object_; }

 private:
  PyObject* object_;
};

RootfsArtifact copy_of(const RootfsArtifact& artifact) {
  RootfsArtifact copy;
  copy.set_path(std::string(artifact.path())).set_read_only(artifact.read_only());
  if (!artifact.fstype().empty()) copy.set_fstype(std::string(artifact.fstype()));
  for (std::size_t i = 0; i < artifact.image_env_count(); ++i) {
    const auto [key, text] = artifact.image_env(i);
    copy.add_image_env(std::string(key), std::string(text));
  }
  return copy;
}

// A provider written in Python: an object with `name`, `claims`, matches() and provide().
class PythonProvider : public Provider {
 public:
  explicit PythonProvider(py::object object)
      : name_(py::str(object.attr("name"))),
        claims_(py::str(object.attr("claims"))),
        object_(std::move(object)) {}

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::string claims() const override { return claims_; }

  // The shim keeps what the provider raises, and what is thrown here only stops the search.
  [[nodiscard]] bool matches(const std::string& spec) override {
    const Locked here;
    std::string failure;
    try {
      return py::bool_(call(object_.get().attr("matches"), py::make_tuple(to_bytes(spec))));
    } catch (py::error_already_set& raised) {
      failure = to_error(raised).message();
    }
    throw std::runtime_error(failure);
  }

  [[nodiscard]] result<RootfsArtifact> provide(const std::string& spec,
                                               ProviderContext& context) override {
    const Locked here;
    try {
      const py::object made = call(
          object_.get().attr("provide"),
          py::make_tuple(to_bytes(spec), py::cast(&context, py::return_value_policy::reference)));
      return copy_of(made.cast<const RootfsArtifact&>());
    } catch (py::error_already_set& raised) {
      return to_error(raised);
    } catch (const py::cast_error&) {
      return Error(ErrorCode::kProvider,
                   "provider '" + name_ + "': provide() returned no RootfsArtifact");
    }
  }

 private:
  std::string name_;
  std::string claims_;
  Kept object_;
};

void set_progress(Config& config, const py::object& heard) {
  if (heard.is_none()) {
    config.set_progress({});
    return;
  }
  config.set_progress(
      [kept = Kept(heard)](std::string_view step, std::uint64_t done, std::uint64_t total) -> bool {
        const Locked here;
        return py::bool_(call(kept.get(), py::make_tuple(to_str(step), done, total)));
      });
}

void set_artifact(Config& config, const RootfsArtifact& artifact, bool read_only) {
  config.set_rootfs_artifact(artifact, read_only);
  if (config.error() != nullptr) fail(*config.error());
}

std::unique_ptr<RootfsArtifact> new_artifact(const std::string& path,
                                             const std::optional<std::string>& fstype,
                                             bool read_only, const py::dict& image_env) {
  auto artifact = std::make_unique<RootfsArtifact>();
  artifact->set_path(path).set_read_only(read_only);
  if (fstype) artifact->set_fstype(*fstype);
  for (const auto& [key, text] : image_env)
    artifact->add_image_env(key.cast<std::string>(), text.cast<std::string>());
  if (artifact->error() != nullptr) fail(*artifact->error());
  return artifact;
}

py::dict image_env(const RootfsArtifact& artifact) {
  py::dict all;
  for (std::size_t i = 0; i < artifact.image_env_count(); ++i) {
    const auto [key, text] = artifact.image_env(i);
    all[to_bytes(key)] = to_bytes(text);
  }
  return all;
}

py::list providers(const Config& config) {
  py::list all;
  for (std::size_t i = 0; i < config.provider_count(); ++i)
    all.append(py::make_tuple(to_str(config.provider_name(i)), to_str(config.provider_claims(i))));
  return all;
}

}  // namespace

void bind_provider(py::module_& module) {
  py::class_<RootfsArtifact>(module, "RootfsArtifact")
      .def(py::init(&new_artifact), py::arg("path"), py::arg("fstype"), py::arg("read_only"),
           py::arg("image_env"))
      .def("path", [](const RootfsArtifact& self) { return to_bytes(self.path()); })
      .def("fstype", [](const RootfsArtifact& self) { return to_str(self.fstype()); })
      .def("read_only", &RootfsArtifact::read_only)
      .def("image_env", &image_env);
  py::class_<ProviderContext>(module, "ProviderContext")
      .def("cache_dir", [](ProviderContext& self) { return to_bytes(value(self.cache_dir())); })
      .def("offline", &ProviderContext::offline)
      .def("report", [](ProviderContext& self, const std::string& step, std::uint64_t done,
                        std::uint64_t total) {
        check(unlocked([&] { return self.report(step, done, total); }));
      });

  using ConfigClass = py::class_<Config, Owner<Config>>;
  auto config = py::reinterpret_borrow<ConfigClass>(module.attr("Config"));
  config
      .def("add_provider",
           [](Config& self, py::object object) {
             self.add_provider(std::make_unique<PythonProvider>(std::move(object)));
             if (self.error() != nullptr) fail(*self.error());
           })
      .def("set_progress", &set_progress)
      .def("set_rootfs_artifact", &set_artifact)
      .def("providers", &providers)
      .def("resolve_rootfs", [](const Config& self, const std::string& spec) {
        return value(unlocked([&] { return self.resolve_rootfs(spec); }));
      });
}

}  // namespace vmette::python
