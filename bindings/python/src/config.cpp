#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "bind.h"

namespace vmette::python {
namespace {

using Strings = std::vector<std::string>;
using MaybeString = std::optional<std::string>;

Text text(const MaybeString& string) {
  return string ? Text(*string) : Text(nullptr);
}

// A method of the description that reports what a setter has failed with at once.
template <class Self, class... Args>
auto setter(Self& (Self::*set)(Args...) noexcept) {
  return [set](Self& self, std::decay_t<Args>... args) {
    (self.*set)(args...);
    if (self.error() != nullptr) fail(*self.error());
  };
}

// The same for setters of text: Python hands over bytes, or None where null is allowed.
template <class Self, class Set>
auto checked(Set set) {
  return [set](Self& self, const MaybeString& string) {
    set(self, text(string));
    if (self.error() != nullptr) fail(*self.error());
  };
}

template <class Self>
auto text_setter(Self& (Self::*set)(const Text&) noexcept) {
  return checked<Self>([set](Self& self, const Text& string) { (self.*set)(string); });
}

template <class Self, class Enum>
auto enum_setter(Self& (Self::*set)(Enum) noexcept) {
  return [set](Self& self, int number) {
    (self.*set)(static_cast<Enum>(number));
    if (self.error() != nullptr) fail(*self.error());
  };
}

void ensure(const Config& config) {
  if (config.error() != nullptr) fail(*config.error());
}

using ConfigClass = py::class_<Config, Owner<Config>>;

void bind_texts(ConfigClass& config) {
  config.def("set_kernel", text_setter(&Config::set_kernel))
      .def("set_initramfs", text_setter(&Config::set_initramfs))
      .def("set_assets", text_setter(&Config::set_assets))
      .def("set_helper", text_setter(&Config::set_helper))
      .def("set_cmdline", text_setter(&Config::set_cmdline))
      .def("set_exec", text_setter(&Config::set_exec))
      .def("set_resume_snapshot", text_setter(&Config::set_resume_snapshot))
      .def("set_build_snapshot", text_setter(&Config::set_build_snapshot))
      .def("set_scratch_dir", text_setter(&Config::set_scratch_dir))
      .def("set_hostname", text_setter(&Config::set_hostname))
      .def("set_ca_certs", text_setter(&Config::set_ca_certs))
      .def("set_cache_dir", text_setter(&Config::set_cache_dir));
}

void bind_values(ConfigClass& config) {
  config.def("set_switch_root", setter(&Config::set_switch_root))
      .def("set_net", setter(&Config::set_net))
      .def("set_guest_vsock_port", setter(&Config::set_guest_vsock_port))
      .def("set_timeout_seconds", setter(&Config::set_timeout_seconds))
      .def("set_ready_timeout_ms", setter(&Config::set_ready_timeout_ms))
      .def("set_vcpus", setter(&Config::set_vcpus))
      .def("set_mem_mib", setter(&Config::set_mem_mib))
      .def("set_snapshottable", setter(&Config::set_snapshottable))
      .def("set_resume_shares", setter(&Config::set_resume_shares))
      .def("set_snapshot_digests", setter(&Config::set_snapshot_digests))
      .def("set_scratch_mib", setter(&Config::set_scratch_mib))
      .def("set_quiet", setter(&Config::set_quiet))
      .def("set_capture_output", setter(&Config::set_capture_output))
      .def("set_capture_limit", setter(&Config::set_capture_limit))
      .def("set_offline", setter(&Config::set_offline))
      .def("set_accel", enum_setter(&Config::set_accel))
      .def("set_share_transport", enum_setter(&Config::set_share_transport))
      .def("set_vsock", [](Config& self, int mode, std::uint32_t port) {
        self.set_vsock(static_cast<VsockMode>(mode), port);
        ensure(self);
      });
}

void bind_lists(ConfigClass& config) {
  config
      .def("set_exec_argv",
           [](Config& self, const Strings& argv) {
             self.set_exec_argv(argv);
             ensure(self);
           })
      .def("add_env",
           [](Config& self, const std::string& key, const std::string& value) {
             self.add_env(key, value);
             ensure(self);
           })
      .def("add_share",
           [](Config& self, const std::string& tag, const std::string& path,
              const std::string& target, bool read_only) {
             self.add_share_at(tag, path, target, read_only);
             ensure(self);
           })
      .def("add_disk",
           [](Config& self, const std::string& id, const std::string& path, bool read_only) {
             self.add_disk_as(id, path, read_only);
             ensure(self);
           })
      .def("set_rootfs",
           [](Config& self, const MaybeString& spec, bool read_only) {
             self.set_rootfs(text(spec), read_only);
             ensure(self);
           })
      .def("set_rootfs_share",
           [](Config& self, const std::string& path, bool read_only) {
             self.set_rootfs_share(path, read_only);
             ensure(self);
           })
      .def("set_rootfs_block",
           [](Config& self, const std::string& path, const MaybeString& fstype) {
             self.set_rootfs_block(path, text(fstype));
             ensure(self);
           })
      .def("set_resume_hooks",
           [](Config& self, const MaybeString& frozen, const MaybeString& running) {
             self.set_resume_hooks(text(frozen), text(running));
             ensure(self);
           });
}

}  // namespace

void bind_config(py::module_& module) {
  ConfigClass config(module, "Config");
  config.def(py::init<>())
      .def("clone", [](const Config& self) { return value(self.clone()); })
      .def("validate", [](const Config& self) { check(unlocked([&] { return self.validate(); })); })
      .def("defaults", [](const Config& self) {
        return py::make_tuple(self.vcpus(), self.mem_mib(), self.timeout_seconds(),
                              self.guest_vsock_port(), to_str(self.cmdline()));
      });
  bind_texts(config);
  bind_values(config);
  bind_lists(config);
}

}  // namespace vmette::python
