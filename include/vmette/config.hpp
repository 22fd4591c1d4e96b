/// @file config.hpp
/// The description of a machine. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_CONFIG_HPP
#define VMETTE_CONFIG_HPP

#include <vmette/config.h>
#include <vmette/provider.hpp>
#include <vmette/settings.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vmette {

/// How a guest's vsock port is chosen, see VMETTE_VSOCK_*.
enum class VsockMode : vmette_vsock_mode {
  kDisabled = VMETTE_VSOCK_DISABLED,
  kAuto = VMETTE_VSOCK_AUTO,
  kFixed = VMETTE_VSOCK_FIXED,
};

/// What runs the guest's vCPUs, see VMETTE_ACCEL_*.
enum class Accel : vmette_accel {
  kAuto = VMETTE_ACCEL_AUTO,
  kHardware = VMETTE_ACCEL_HARDWARE,
  kEmulation = VMETTE_ACCEL_EMULATION,
};

/// How directories of the host reach the guest, see VMETTE_SHARE_*.
enum class ShareTransport : vmette_share_transport {
  kAuto = VMETTE_SHARE_AUTO,
  kVirtiofs = VMETTE_SHARE_VIRTIOFS,
  k9p = VMETTE_SHARE_9P,
};

/// The description of a machine. A setter's error is returned by validate(), clone(),
/// Session::create() and run().
class Config : public Settings<Config, vmette_config, vmette_config_delete> {
 public:
  Config() noexcept : Settings(vmette_config_new) {}
  /// Takes ownership.
  explicit Config(vmette_config* raw) noexcept : Settings(raw) {}

  [[nodiscard]] result<Config> clone() const noexcept {
    if (error() != nullptr) return *error();
    return detail::wrap<Config, vmette_config>(
        [this](vmette_config** out) { return vmette_config_clone(capi(), out); });
  }
  [[nodiscard]] result<void> validate() const noexcept {
    if (error() != nullptr) return *error();
    return detail::check(vmette_config_validate(capi()));
  }

  Config& set_kernel(const Text& path) noexcept { return set(vmette_config_set_kernel, path); }
  Config& set_initramfs(const Text& path) noexcept {
    return set(vmette_config_set_initramfs, path);
  }
  Config& set_assets(const Text& directory) noexcept {
    return set(vmette_config_set_assets, directory);
  }
  Config& set_helper(const Text& path) noexcept { return set(vmette_config_set_helper, path); }
  Config& set_cmdline(const Text& cmdline) noexcept {
    return set(vmette_config_set_cmdline, cmdline);
  }
  Config& set_rootfs_share(const Text& path, bool read_only = false) noexcept {
    return set(vmette_config_set_rootfs_share, path, read_only);
  }
  Config& set_rootfs_block(const Text& path, const Text& fstype) noexcept {
    return set(vmette_config_set_rootfs_block, path, fstype);
  }
  /// The type is what the image's superblock tells.
  Config& set_rootfs_block(const Text& path) noexcept {
    return set(vmette_config_set_rootfs_block, path, Text(nullptr));
  }
  Config& add_share(const Text& tag, const Text& path, bool read_only) noexcept {
    return set(vmette_config_add_share, tag, path, read_only);
  }
  Config& add_share_at(const Text& tag, const Text& path, const Text& target,
                       bool read_only) noexcept {
    return set(vmette_config_add_share_at, tag, path, target, read_only);
  }
  Config& set_share_transport(ShareTransport transport) noexcept {
    return set(vmette_config_set_share_transport, static_cast<vmette_share_transport>(transport));
  }
  Config& add_disk(const Text& path, bool read_only) noexcept {
    return set(vmette_config_add_disk, path, read_only);
  }
  Config& add_disk_as(const Text& id, const Text& path, bool read_only) noexcept {
    return set(vmette_config_add_disk_as, id, path, read_only);
  }
  Config& set_exec(const Text& line) noexcept { return set(vmette_config_set_exec, line); }
  Config& set_exec_argv(const char* const* argv, std::size_t argc) noexcept {
    return set(vmette_config_set_exec_argv, argv, argc);
  }
  Config& set_exec_argv(const std::vector<std::string>& argv) noexcept {
    return set_vector(vmette_config_set_exec_argv, argv);
  }
  Config& add_env(const Text& key, const Text& value) noexcept {
    return set(vmette_config_add_env, key, value);
  }
  Config& set_switch_root(bool on) noexcept { return set(vmette_config_set_switch_root, on); }
  Config& set_net(bool on) noexcept { return set(vmette_config_set_net, on); }
  Config& set_vsock(VsockMode mode, std::uint32_t port = 0) noexcept {
    return set(vmette_config_set_vsock, static_cast<vmette_vsock_mode>(mode), port);
  }
  Config& set_guest_vsock_port(std::uint32_t port) noexcept {
    return set(vmette_config_set_guest_vsock_port, port);
  }
  Config& set_timeout_seconds(std::uint32_t seconds) noexcept {
    return set(vmette_config_set_timeout_seconds, seconds);
  }
  Config& set_ready_timeout_ms(std::uint32_t timeout_ms) noexcept {
    return set(vmette_config_set_ready_timeout_ms, timeout_ms);
  }
  Config& set_vcpus(std::uint32_t vcpus) noexcept { return set(vmette_config_set_vcpus, vcpus); }
  Config& set_mem_mib(std::uint64_t mem_mib) noexcept {
    return set(vmette_config_set_mem_mib, mem_mib);
  }
  Config& set_snapshottable(bool on) noexcept { return set(vmette_config_set_snapshottable, on); }
  Config& set_resume_shares(std::uint32_t count) noexcept {
    return set(vmette_config_set_resume_shares, count);
  }
  Config& set_resume_hooks(const Text& frozen, const Text& running) noexcept {
    return set(vmette_config_set_resume_hooks, frozen, running);
  }
  Config& set_snapshot_digests(bool on) noexcept {
    return set(vmette_config_set_snapshot_digests, on);
  }
  Config& set_build_snapshot(const Text& path) noexcept {
    return set(vmette_config_set_build_snapshot, path);
  }
  Config& set_resume_snapshot(const Text& path) noexcept {
    return set(vmette_config_set_resume_snapshot, path);
  }
  Config& set_scratch_mib(std::uint64_t scratch_mib) noexcept {
    return set(vmette_config_set_scratch_mib, scratch_mib);
  }
  Config& set_scratch_dir(const Text& directory) noexcept {
    return set(vmette_config_set_scratch_dir, directory);
  }
  Config& set_quiet(bool on) noexcept { return set(vmette_config_set_quiet, on); }
  Config& set_capture_output(bool on) noexcept { return set(vmette_config_set_capture_output, on); }
  Config& set_capture_limit(std::size_t bytes) noexcept {
    return set(vmette_config_set_capture_limit, bytes);
  }
  Config& set_accel(Accel accel) noexcept {
    return set(vmette_config_set_accel, static_cast<vmette_accel>(accel));
  }
  Config& set_hostname(const Text& name) noexcept { return set(vmette_config_set_hostname, name); }
  Config& set_ca_certs(const Text& directory) noexcept {
    return set(vmette_config_set_ca_certs, directory);
  }

  Config& set_rootfs(const Text& spec, bool read_only = false) noexcept {
    return set(vmette_config_set_rootfs, spec, read_only);
  }
  Config& set_offline(bool on) noexcept { return set(vmette_config_set_offline, on); }
  Config& set_cache_dir(const Text& directory) noexcept {
    return set(vmette_config_set_cache_dir, directory);
  }
  /// An empty function reports to nobody.
  Config& set_progress(Progress progress) noexcept {
    return set([&](vmette_config* raw) { return detail::set_progress(raw, progress); });
  }
  /// Takes ownership; the provider lives as long as this configuration and its clones.
  Config& add_provider(std::unique_ptr<Provider> provider) noexcept {
    return set([&](vmette_config* raw) { return detail::add_provider(raw, provider); });
  }
  Config& set_rootfs_artifact(const RootfsArtifact& artifact,
                              bool force_read_only = false) noexcept {
    if (artifact.error() != nullptr) return fail(*artifact.error());
    return set(vmette_config_set_rootfs_artifact,
               static_cast<const vmette_rootfs_artifact*>(artifact.capi()), force_read_only);
  }
  [[nodiscard]] result<RootfsArtifact> resolve_rootfs(const std::string& spec) const noexcept {
    if (error() != nullptr) return *error();
    return detail::wrap<RootfsArtifact, vmette_rootfs_artifact>([&](vmette_rootfs_artifact** out) {
      return vmette_config_resolve_rootfs(capi(), spec.c_str(), out);
    });
  }
  [[nodiscard]] std::size_t provider_count() const noexcept {
    return vmette_config_provider_count(capi());
  }
  /// `index` is below provider_count(). Valid until the configuration is gone.
  [[nodiscard]] std::string_view provider_name(std::size_t index) const noexcept {
    return vmette_config_provider_name(capi(), index);
  }
  /// Likewise.
  [[nodiscard]] std::string_view provider_claims(std::size_t index) const noexcept {
    return vmette_config_provider_claims(capi(), index);
  }

  [[nodiscard]] std::uint32_t vcpus() const noexcept { return vmette_config_vcpus(capi()); }
  [[nodiscard]] std::uint64_t mem_mib() const noexcept { return vmette_config_mem_mib(capi()); }
  [[nodiscard]] std::uint32_t timeout_seconds() const noexcept {
    return vmette_config_timeout_seconds(capi());
  }
  [[nodiscard]] std::uint32_t guest_vsock_port() const noexcept {
    return vmette_config_guest_vsock_port(capi());
  }
  /// Valid until the configuration changes.
  [[nodiscard]] std::string_view cmdline() const noexcept { return vmette_config_cmdline(capi()); }
};

}  // namespace vmette

#endif
