#include "core/rootfs/resolve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/rootfs/builtin_providers.h"
#include "core/rootfs/root_path.h"

namespace vmette::core {
namespace {

constexpr size_t kLongestName = 32;
// Of providers that a later version may bring along.
constexpr const char* kReservedNames[] = {"tar", "oci"};

bool has_name(const ProviderList& providers, const std::string& name) {
  return std::any_of(providers.begin(), providers.end(),
                     [&](const auto& provider) { return provider->name() == name; });
}

Error bad_name(const std::string& name, const std::string& why) {
  return {Code::kInvalidArgument, one_line(fmt::format("provider name '{}' {}", name, why)),
          "rootfs"};
}

Error unclaimed(const ProviderList& providers, const std::string& spec) {
  std::string claims;
  for (const auto& provider : providers)
    claims += (claims.empty() ? "" : "; ") + provider->name() + ": " + provider->claims();
  return {
      Code::kInvalidSpec,
      one_line(fmt::format("rootfs: no provider claims '{}'; what is claimed is {}", spec, claims)),
      "rootfs"};
}

// Names the spec and whose error it is, where the message does not yet; the rest stays.
Error from_provider(const Provider& provider, const std::string& spec, Error error) {
  const std::string quoted = "'" + spec + "'";
  const bool names_it = error.message.find(quoted) != std::string::npos;
  error.message = one_line(names_it ? "rootfs: " + error.message
                                    : fmt::format("rootfs: {}: provider {}: {}", quoted,
                                                  provider.name(), error.message));
  if (error.stage.empty()) error.stage = "rootfs";
  return error;
}

Result<std::shared_ptr<const Provider>> find_provider(const ProviderList& providers,
                                                      const std::string& spec) {
  for (const auto& provider : providers) {
    const auto claimed = provider->matches(spec);
    if (!claimed) return from_provider(*provider, spec, claimed.error());
    if (claimed.value()) return provider;
  }
  return unclaimed(providers, spec);
}

Result<RootfsArtifact> provide(const Config& config, const Provider& provider,
                               const std::string& spec) {
  const ProviderContext context(config, provider.name());
  auto artifact = provider.provide(spec, context);
  if (!artifact) return from_provider(provider, spec, artifact.error());
  if (const auto usable = check_root(artifact.value()); !usable) {
    Error error = usable.error();
    error.code = Code::kProvider;
    error.message = "returned " + error.message;
    return from_provider(provider, spec, std::move(error));
  }
  artifact.value().path = absolute_path(artifact.value().path);
  return artifact;
}

}  // namespace

ProviderList providers_of(const Config& config) {
  ProviderList all = config.providers;
  all.insert(all.end(), builtin_providers().begin(), builtin_providers().end());
  return all;
}

Result<void> check_provider_name(const Config& config, const std::string& name) {
  const auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (name.empty() || name.size() > kLongestName || !std::all_of(name.begin(), name.end(), legal))
    return bad_name(name,
                    fmt::format("is not allowed; use 1 to {} bytes of [a-z0-9-]", kLongestName));
  const bool reserved = std::any_of(std::begin(kReservedNames), std::end(kReservedNames),
                                    [&](const char* other) { return name == other; });
  if (reserved || has_name(builtin_providers(), name))
    return bad_name(name, "is the library's own; choose another");
  if (has_name(config.providers, name)) return bad_name(name, "is used twice; choose another");
  return success();
}

Result<RootfsArtifact> resolve_spec(const Config& config, const std::string& spec) {
  // A copy: a callback may add providers to the configuration.
  const ProviderList providers = providers_of(config);
  const auto provider = find_provider(providers, spec);
  if (!provider) return provider.error();
  return provide(config, *provider.value(), spec);
}

void set_rootfs_artifact(Config& config, RootfsArtifact artifact, bool force_read_only) {
  const bool read_only = artifact.read_only || force_read_only;
  if (artifact.fstype.empty()) {
    config.rootfs = RootfsShare{std::move(artifact.path), read_only};
  } else {
    config.rootfs = RootfsBlock{std::move(artifact.path), std::move(artifact.fstype), read_only};
  }
  config.image_env = std::move(artifact.image_env);
}

Result<Config> resolved(Config config, Effort effort) {
  if (const auto* wanted = std::get_if<RootfsSpec>(&config.rootfs)) {
    const RootfsSpec spec = *wanted;
    const ProviderList providers = providers_of(config);
    const auto provider = find_provider(providers, spec.spec);
    if (!provider) return provider.error();
    if (effort == Effort::kAll || provider.value()->quick()) {
      auto artifact = provide(config, *provider.value(), spec.spec);
      if (!artifact) return artifact.error();
      set_rootfs_artifact(config, std::move(artifact.value()), spec.read_only);
    }
  }
  config.providers.clear();
  config.progress = nullptr;
  return config;
}

}  // namespace vmette::core
