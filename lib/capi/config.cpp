#include <fmt/format.h>

#include "capi/handles.h"
#include "core/assets.h"
#include "core/ca_certs.h"
#include "core/rootfs/resolve.h"

namespace {

using vmette::capi::bad_choice;
using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::core::Code;
using vmette::core::Config;
using vmette::core::Error;
using vmette::core::is_utf8;
using vmette::core::Result;

Result<void> done() {
  return vmette::core::success();
}

// Runs `change(config)` on a valid handle.
template <class Change>
vmette_error* change(const char* function, vmette_config* config, Change&& apply) {
  if (config == nullptr) return null_argument(function, "config");
  return guarded([&]() -> Result<void> {
    apply(config->config);
    return done();
  });
}

// A field that NULL puts back to its default.
vmette_error* set_text(const char* function, vmette_config* config, std::string Config::* field,
                       const char* value) {
  return change(function, config,
                [&](Config& c) { c.*field = value == nullptr ? Config{}.*field : value; });
}

vmette_error* bad_text(const char* function, const char* argument) {
  return guarded([&]() -> Result<void> {
    return Error(
        Code::kInvalidArgument,
        fmt::format("{}: argument '{}' is not UTF-8; pass valid UTF-8", function, argument));
  });
}

}  // namespace

extern "C" {

vmette_error* vmette_config_new(vmette_config** out) {
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    *out = new vmette_config;
    return done();
  });
}

vmette_error* vmette_config_clone(const vmette_config* config, vmette_config** out) {
  if (config == nullptr) return null_argument(__func__, "config");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    *out = new vmette_config(*config);
    return done();
  });
}

void vmette_config_delete(vmette_config* config) {
  delete config;
}

vmette_error* vmette_config_validate(const vmette_config* config) {
  if (config == nullptr) return null_argument(__func__, "config");
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(vmette::core::validate(config->config));
    const auto whole = vmette::core::resolved(config->config, vmette::core::Effort::kQuick);
    if (!whole) return whole.error();
    BOOST_OUTCOME_TRYV(vmette::core::validate(whole.value()));
    const auto ca_certs = vmette::core::read_ca_certs(config->config);
    if (!ca_certs) return ca_certs.error();
    const auto files = vmette::core::find_boot_files(config->config);
    if (!files) return files.error();
    return done();
  });
}

vmette_error* vmette_config_set_kernel(vmette_config* config, const char* path) {
  return set_text(__func__, config, &Config::kernel, path);
}

vmette_error* vmette_config_set_initramfs(vmette_config* config, const char* path) {
  return set_text(__func__, config, &Config::initramfs, path);
}

vmette_error* vmette_config_set_assets(vmette_config* config, const char* directory) {
  return set_text(__func__, config, &Config::assets, directory);
}

vmette_error* vmette_config_set_helper(vmette_config* config, const char* path) {
  return set_text(__func__, config, &Config::helper, path);
}

vmette_error* vmette_config_set_cmdline(vmette_config* config, const char* cmdline) {
  if (cmdline != nullptr && !is_utf8(cmdline)) return bad_text(__func__, "cmdline");
  return set_text(__func__, config, &Config::cmdline, cmdline);
}

vmette_error* vmette_config_set_rootfs_share(vmette_config* config, const char* path,
                                             bool read_only) {
  if (path == nullptr) return null_argument(__func__, "path");
  return change(__func__, config, [&](Config& c) {
    c.rootfs = vmette::core::RootfsShare{path, read_only};
    c.image_env.clear();
  });
}

vmette_error* vmette_config_set_rootfs_block(vmette_config* config, const char* path,
                                             const char* fstype) {
  if (path == nullptr) return null_argument(__func__, "path");
  return change(__func__, config, [&](Config& c) {
    c.rootfs = vmette::core::RootfsBlock{path, fstype != nullptr ? fstype : ""};
    c.image_env.clear();
  });
}

vmette_error* vmette_config_add_share(vmette_config* config, const char* tag, const char* path,
                                      bool read_only) {
  if (tag == nullptr) return null_argument(__func__, "tag");
  if (path == nullptr) return null_argument(__func__, "path");
  return change(__func__, config,
                [&](Config& c) { c.shares.push_back({tag, path, read_only, ""}); });
}

vmette_error* vmette_config_add_share_at(vmette_config* config, const char* tag, const char* path,
                                         const char* target, bool read_only) {
  if (tag == nullptr) return null_argument(__func__, "tag");
  if (path == nullptr) return null_argument(__func__, "path");
  if (target == nullptr) return null_argument(__func__, "target");
  return change(__func__, config,
                [&](Config& c) { c.shares.push_back({tag, path, read_only, target}); });
}

vmette_error* vmette_config_set_share_transport(vmette_config* config,
                                                vmette_share_transport transport) {
  if (transport < VMETTE_SHARE_AUTO || transport > VMETTE_SHARE_9P)
    return bad_choice(__func__, "transport", transport, VMETTE_SHARE_9P);
  return change(__func__, config, [&](Config& c) {
    c.share_transport = static_cast<vmette::core::ShareTransport>(transport);
  });
}

vmette_error* vmette_config_add_disk(vmette_config* config, const char* path, bool read_only) {
  if (path == nullptr) return null_argument(__func__, "path");
  return change(__func__, config, [&](Config& c) { c.disks.push_back({path, read_only, "", ""}); });
}

vmette_error* vmette_config_add_disk_as(vmette_config* config, const char* id, const char* path,
                                        bool read_only) {
  if (id == nullptr) return null_argument(__func__, "id");
  if (path == nullptr) return null_argument(__func__, "path");
  return change(__func__, config, [&](Config& c) { c.disks.push_back({path, read_only, id, ""}); });
}

vmette_error* vmette_config_set_exec(vmette_config* config, const char* line) {
  return change(__func__, config, [&](Config& c) {
    c.exec.reset();
    if (line != nullptr) c.exec = vmette::core::Command{{line}, true, false};
  });
}

vmette_error* vmette_config_set_exec_argv(vmette_config* config, const char* const* argv,
                                          size_t argc) {
  if (argv == nullptr || argc == 0) return null_argument(__func__, "argv");
  for (size_t i = 0; i < argc; ++i)
    if (argv[i] == nullptr) return null_argument(__func__, "argv");
  return change(__func__, config, [&](Config& c) {
    c.exec = vmette::core::Command{{argv, argv + argc}, false, false};
  });
}

vmette_error* vmette_config_add_env(vmette_config* config, const char* key, const char* value) {
  if (key == nullptr) return null_argument(__func__, "key");
  if (value == nullptr) return null_argument(__func__, "value");
  return change(__func__, config, [&](Config& c) { c.env.emplace_back(key, value); });
}

vmette_error* vmette_config_set_switch_root(vmette_config* config, bool on) {
  return change(__func__, config, [&](Config& c) { c.switch_root = on; });
}

vmette_error* vmette_config_set_net(vmette_config* config, bool on) {
  return change(__func__, config, [&](Config& c) { c.net = on; });
}

vmette_error* vmette_config_set_vsock(vmette_config* config, vmette_vsock_mode mode,
                                      uint32_t port) {
  if (mode < VMETTE_VSOCK_DISABLED || mode > VMETTE_VSOCK_FIXED)
    return bad_choice(__func__, "mode", mode, VMETTE_VSOCK_FIXED);
  return change(__func__, config, [&](Config& c) {
    c.vsock_mode = static_cast<vmette::core::VsockMode>(mode);
    c.vsock_port = port;
  });
}

vmette_error* vmette_config_set_guest_vsock_port(vmette_config* config, uint32_t port) {
  return change(__func__, config, [&](Config& c) { c.guest_vsock_port = port; });
}

vmette_error* vmette_config_set_timeout_seconds(vmette_config* config, uint32_t seconds) {
  return change(__func__, config, [&](Config& c) { c.timeout_seconds = seconds; });
}

vmette_error* vmette_config_set_ready_timeout_ms(vmette_config* config, uint32_t timeout_ms) {
  return change(__func__, config, [&](Config& c) { c.ready_timeout_ms = timeout_ms; });
}

vmette_error* vmette_config_set_vcpus(vmette_config* config, uint32_t vcpus) {
  return change(__func__, config, [&](Config& c) { c.vcpus = vcpus; });
}

vmette_error* vmette_config_set_mem_mib(vmette_config* config, uint64_t mem_mib) {
  return change(__func__, config, [&](Config& c) { c.mem_mib = mem_mib; });
}

vmette_error* vmette_config_set_snapshottable(vmette_config* config, bool on) {
  return change(__func__, config, [&](Config& c) { c.snapshottable = on; });
}

vmette_error* vmette_config_set_resume_shares(vmette_config* config, uint32_t count) {
  return change(__func__, config, [&](Config& c) { c.resume_shares = count; });
}

vmette_error* vmette_config_set_resume_hooks(vmette_config* config, const char* frozen,
                                             const char* running) {
  return change(__func__, config, [&](Config& c) {
    c.resume_hook_frozen = frozen == nullptr ? "" : frozen;
    c.resume_hook = running == nullptr ? "" : running;
  });
}

vmette_error* vmette_config_set_snapshot_digests(vmette_config* config, bool on) {
  return change(__func__, config, [&](Config& c) { c.snapshot_digests = on; });
}

vmette_error* vmette_config_set_build_snapshot(vmette_config* config, const char* path) {
  return set_text(__func__, config, &Config::build_snapshot, path);
}

vmette_error* vmette_config_set_resume_snapshot(vmette_config* config, const char* path) {
  return set_text(__func__, config, &Config::resume_snapshot, path);
}

vmette_error* vmette_config_set_scratch_mib(vmette_config* config, uint64_t scratch_mib) {
  return change(__func__, config, [&](Config& c) { c.scratch_mib = scratch_mib; });
}

vmette_error* vmette_config_set_scratch_dir(vmette_config* config, const char* directory) {
  return set_text(__func__, config, &Config::scratch_dir, directory);
}

vmette_error* vmette_config_set_quiet(vmette_config* config, bool on) {
  return change(__func__, config, [&](Config& c) { c.quiet = on; });
}

vmette_error* vmette_config_set_capture_output(vmette_config* config, bool on) {
  return change(__func__, config, [&](Config& c) { c.capture_output = on; });
}

vmette_error* vmette_config_set_capture_limit(vmette_config* config, size_t bytes) {
  return change(__func__, config, [&](Config& c) { c.capture_limit = bytes; });
}

vmette_error* vmette_config_set_accel(vmette_config* config, vmette_accel accel) {
  if (accel < VMETTE_ACCEL_AUTO || accel > VMETTE_ACCEL_EMULATION)
    return bad_choice(__func__, "accel", accel, VMETTE_ACCEL_EMULATION);
  return change(__func__, config,
                [&](Config& c) { c.accel = static_cast<vmette::core::Accel>(accel); });
}

vmette_error* vmette_config_set_hostname(vmette_config* config, const char* name) {
  if (name == nullptr) return null_argument(__func__, "name");
  return set_text(__func__, config, &Config::hostname, name);
}

vmette_error* vmette_config_set_ca_certs(vmette_config* config, const char* directory) {
  return change(__func__, config, [&](Config& c) {
    c.ca_certs = directory == nullptr ? std::nullopt : std::optional<std::string>(directory);
  });
}

uint32_t vmette_config_vcpus(const vmette_config* config) {
  return config == nullptr ? 0 : config->config.vcpus;
}

uint64_t vmette_config_mem_mib(const vmette_config* config) {
  return config == nullptr ? 0 : config->config.mem_mib;
}

uint32_t vmette_config_timeout_seconds(const vmette_config* config) {
  return config == nullptr ? 0 : config->config.timeout_seconds;
}

uint32_t vmette_config_guest_vsock_port(const vmette_config* config) {
  return config == nullptr ? 0 : config->config.guest_vsock_port;
}

const char* vmette_config_cmdline(const vmette_config* config) {
  return config == nullptr ? "" : config->config.cmdline.c_str();
}

}  // extern "C"
