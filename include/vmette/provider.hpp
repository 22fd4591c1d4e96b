/// @file provider.hpp
/// Where roots come from: what a spec becomes, and providers written in C++. Part of vmette.hpp,
/// which has the conventions.
#ifndef VMETTE_PROVIDER_HPP
#define VMETTE_PROVIDER_HPP

#include <vmette/provider.h>
#include <vmette/settings.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace vmette {

/// A directory or an image of the host that can be a root. A setter's error is returned by whoever
/// uses the artifact.
class RootfsArtifact
    : public Settings<RootfsArtifact, vmette_rootfs_artifact, vmette_rootfs_artifact_delete> {
 public:
  RootfsArtifact() noexcept : Settings(vmette_rootfs_artifact_new) {}
  /// Takes ownership.
  explicit RootfsArtifact(vmette_rootfs_artifact* raw) noexcept : Settings(raw) {}

  RootfsArtifact& set_path(const Text& path) noexcept {
    return set(vmette_rootfs_artifact_set_path, path);
  }
  RootfsArtifact& set_fstype(const Text& fstype) noexcept {
    return set(vmette_rootfs_artifact_set_fstype, fstype);
  }
  RootfsArtifact& set_read_only(bool on) noexcept {
    return set(vmette_rootfs_artifact_set_read_only, on);
  }
  RootfsArtifact& add_image_env(const Text& key, const Text& value) noexcept {
    return set(vmette_rootfs_artifact_add_image_env, key, value);
  }

  [[nodiscard]] std::string_view path() const noexcept {
    return vmette_rootfs_artifact_path(capi());
  }
  /// Empty for a directory.
  [[nodiscard]] std::string_view fstype() const noexcept {
    return vmette_rootfs_artifact_fstype(capi());
  }
  [[nodiscard]] bool read_only() const noexcept { return vmette_rootfs_artifact_read_only(capi()); }
  [[nodiscard]] std::size_t image_env_count() const noexcept {
    return vmette_rootfs_artifact_image_env_count(capi());
  }
  /// `index` is below image_env_count().
  [[nodiscard]] std::pair<std::string_view, std::string_view> image_env(
      std::size_t index) const noexcept {
    return {vmette_rootfs_artifact_image_env_key(capi(), index),
            vmette_rootfs_artifact_image_env_value(capi(), index)};
  }
};

/// What a provider may ask for while provide() runs, on the thread that it runs on.
class ProviderContext {
 public:
  /// Borrows.
  explicit ProviderContext(vmette_provider_context* raw) noexcept : raw_(raw) {}

  /// Valid until provide() returns.
  [[nodiscard]] result<std::string_view> cache_dir() noexcept {
    const char* path = nullptr;
    if (vmette_error* error = vmette_provider_context_cache_dir(capi(), &path)) return Error(error);
    return std::string_view(path);
  }
  [[nodiscard]] bool offline() const noexcept { return vmette_provider_context_offline(capi()); }
  [[nodiscard]] result<void> report(const Text& step, std::uint64_t done,
                                    std::uint64_t total = 0) noexcept {
    return detail::check(vmette_provider_context_report(capi(), step.c_str(), done, total));
  }
  [[nodiscard]] vmette_provider_context* capi() const noexcept { return raw_; }

 private:
  vmette_provider_context* raw_;
};

/// A source of roots, see vmette_config_add_provider(). What matches() and provide() throw becomes
/// the error of the call that resolves.
class Provider {
 public:
  virtual ~Provider() = default;

  /// Asked once, by Config::add_provider().
  [[nodiscard]] virtual std::string name() const = 0;
  /// Likewise.
  [[nodiscard]] virtual std::string claims() const = 0;
  [[nodiscard]] virtual bool matches(const std::string& spec) = 0;
  [[nodiscard]] virtual result<RootfsArtifact> provide(const std::string& spec,
                                                       ProviderContext& context) = 0;
};

/// See vmette_progress. What it throws counts as false.
using Progress =
    std::function<bool(std::string_view step, std::uint64_t done, std::uint64_t total)>;

namespace detail {

/// Calls `body`, which returns an owned error or null, and turns what it throws into one.
template <class Body>
vmette_error* contain(Body body) noexcept {
#if defined(__cpp_exceptions)
  try {
    return body();
  } catch (const std::exception& error) {
    return vmette_error_new(VMETTE_E_PROVIDER, error.what(), 0);
  } catch (...) {
    return vmette_error_new(VMETTE_E_PROVIDER, "an exception of an unknown type was thrown", 0);
  }
#else
  return body();
#endif
}

/// An owned C error that says the same.
inline vmette_error* to_c(const Error& error) {
  const std::string message(error.message());
  return vmette_error_new(static_cast<vmette_code>(error.code()), message.c_str(),
                          error.errno_value());
}

inline vmette_error* provider_matches(void* env, const char* spec, bool* claimed) noexcept {
  return contain([&]() -> vmette_error* {
    *claimed = static_cast<Provider*>(env)->matches(spec);
    return nullptr;
  });
}

inline vmette_error* provider_provide(void* env, const char* spec, vmette_provider_context* raw,
                                      vmette_rootfs_artifact** out) noexcept {
  return contain([&]() -> vmette_error* {
    ProviderContext context(raw);
    result<RootfsArtifact> made = static_cast<Provider*>(env)->provide(spec, context);
    if (!made) return to_c(made.error());
    if (made.value().error() != nullptr) return to_c(*made.value().error());
    *out = made.value().capi_release();
    return nullptr;
  });
}

inline void delete_provider(void* env) noexcept {
  delete static_cast<Provider*>(env);
}

inline vmette_error* add_provider(vmette_config* config,
                                  std::unique_ptr<Provider>& provider) noexcept {
  return contain([&]() -> vmette_error* {
    if (!provider) {
      return vmette_error_new(VMETTE_E_INVALID_ARGUMENT,
                              "add_provider: the provider is null; pass one", 0);
    }
    const std::string name = provider->name();
    const std::string claims = provider->claims();
    return vmette_config_add_provider(config, name.c_str(), claims.c_str(), provider_matches,
                                      provider_provide, provider.release(), delete_provider);
  });
}

inline bool call_progress(void* env, const char* step, std::uint64_t done,
                          std::uint64_t total) noexcept {
  bool go_on = false;
  vmette_error_delete(contain([&]() -> vmette_error* {
    go_on = (*static_cast<Progress*>(env))(step, done, total);
    return nullptr;
  }));
  return go_on;
}

inline void delete_progress(void* env) noexcept {
  delete static_cast<Progress*>(env);
}

inline vmette_error* set_progress(vmette_config* config, Progress& progress) noexcept {
  if (!progress) return vmette_config_set_progress(config, nullptr, nullptr, nullptr);
  return contain([&]() -> vmette_error* {
    auto owned = std::make_unique<Progress>(std::move(progress));
    return vmette_config_set_progress(config, call_progress, owned.release(), delete_progress);
  });
}

}  // namespace detail

}  // namespace vmette

#endif
