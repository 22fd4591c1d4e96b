#include <fmt/format.h>

#include <exception>
#include <memory>
#include <thread>
#include <utility>

#include "capi/handles.h"
#include "core/rootfs/resolve.h"

struct vmette_rootfs_artifact {
  vmette::core::RootfsArtifact artifact;
};

struct vmette_provider_context {
  const vmette::core::ProviderContext& context;
  std::string cache_dir;  // lent to the provider
  const std::thread::id thread = std::this_thread::get_id();
};

namespace {

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::capi::value_or;
using vmette::core::Code;
using vmette::core::Error;
using vmette::core::Provider;
using vmette::core::ProviderContext;
using vmette::core::Result;
using vmette::core::RootfsArtifact;

Result<void> done() {
  return vmette::core::success();
}

// Takes a callback's env over: whoever drops the last copy calls the finalizer, and so does a
// failure.
vmette_error* own(void* env, vmette_finalizer finalizer, std::shared_ptr<void>& owned) {
  return guarded([&]() -> Result<void> {
    owned = std::shared_ptr<void>(env, [finalizer](void* dropped) {
      if (finalizer != nullptr) finalizer(dropped);
    });
    return done();
  });
}

// An error that a callback handed over.
Error taken(vmette_error* error) {
  Error copy = error->error;
  vmette_error_delete(error);
  return copy;
}

Error threw(const std::string& what) {
  return {Code::kProvider, "threw an exception" + (what.empty() ? "" : ": " + what)};
}

// Callbacks written in C++ may throw, which must not get further than this.
template <class T, class Body>
Result<T> contained(Body&& body) {
  try {
    return body();
  } catch (const std::exception& error) {
    return threw(error.what());
  } catch (...) {
    return threw("");
  }
}

class CallbackProvider final : public Provider {
 public:
  CallbackProvider(const char* name, const char* claims, vmette_provider_matches matches,
                   vmette_provider_provide provide, std::shared_ptr<void> env)
      : Provider(name, vmette::core::one_line(claims)),
        matches_(matches),
        provide_(provide),
        env_(std::move(env)) {}

  [[nodiscard]] Result<bool> matches(const std::string& spec) const override {
    return contained<bool>([&]() -> Result<bool> {
      bool claimed = false;
      if (vmette_error* error = matches_(env_.get(), spec.c_str(), &claimed)) return taken(error);
      return claimed;
    });
  }

  [[nodiscard]] Result<RootfsArtifact> provide(const std::string& spec,
                                               const ProviderContext& context) const override {
    return contained<RootfsArtifact>([&]() -> Result<RootfsArtifact> {
      vmette_provider_context lent{context, {}};
      vmette_rootfs_artifact* raw = nullptr;
      vmette_error* error = provide_(env_.get(), spec.c_str(), &lent, &raw);
      const std::unique_ptr<vmette_rootfs_artifact> made(raw);
      if (error != nullptr) return taken(error);
      if (made == nullptr)
        return Error(Code::kProvider, "gave no result and no error; it must set one of them");
      return std::move(made->artifact);
    });
  }

 private:
  const vmette_provider_matches matches_;
  const vmette_provider_provide provide_;
  const std::shared_ptr<void> env_;
};

// Runs `change(artifact)` on a valid handle.
template <class Change>
vmette_error* change(const char* function, vmette_rootfs_artifact* artifact, Change&& apply) {
  if (artifact == nullptr) return null_argument(function, "artifact");
  return guarded([&]() -> Result<void> {
    apply(artifact->artifact);
    return done();
  });
}

const std::pair<std::string, std::string>* image_env(const vmette_rootfs_artifact* artifact,
                                                     size_t index) {
  if (artifact == nullptr || index >= artifact->artifact.image_env.size()) return nullptr;
  return &artifact->artifact.image_env[index];
}

std::shared_ptr<const Provider> provider_at(const vmette_config* config, size_t index) {
  if (config == nullptr) return nullptr;
  const auto all = vmette::core::providers_of(config->config);
  return index < all.size() ? all[index] : nullptr;
}

}  // namespace

extern "C" {

vmette_error* vmette_config_set_rootfs(vmette_config* config, const char* spec, bool read_only) {
  if (config == nullptr) return null_argument(__func__, "config");
  return guarded([&]() -> Result<void> {
    config->config.image_env.clear();
    config->config.rootfs = std::monostate();
    if (spec != nullptr) config->config.rootfs = vmette::core::RootfsSpec{spec, read_only};
    return done();
  });
}

vmette_error* vmette_config_set_offline(vmette_config* config, bool on) {
  if (config == nullptr) return null_argument(__func__, "config");
  config->config.offline = on;
  return nullptr;
}

vmette_error* vmette_config_set_cache_dir(vmette_config* config, const char* directory) {
  if (config == nullptr) return null_argument(__func__, "config");
  return guarded([&]() -> Result<void> {
    config->config.cache_dir = directory == nullptr ? "" : directory;
    return done();
  });
}

vmette_error* vmette_config_set_progress(vmette_config* config, vmette_progress callback, void* env,
                                         vmette_finalizer finalizer) {
  std::shared_ptr<void> owned;
  if (vmette_error* error = own(env, finalizer, owned)) return error;
  if (config == nullptr) return null_argument(__func__, "config");
  return guarded([&]() -> Result<void> {
    config->config.progress = nullptr;
    if (callback == nullptr) return done();
    config->config.progress = [callback, owned](const std::string& step, uint64_t at,
                                                uint64_t total) {
      const auto go_on = contained<bool>(
          [&]() -> Result<bool> { return callback(owned.get(), step.c_str(), at, total); });
      return go_on && go_on.value();
    };
    return done();
  });
}

vmette_error* vmette_rootfs_artifact_new(vmette_rootfs_artifact** out) {
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    *out = new vmette_rootfs_artifact;
    return done();
  });
}

void vmette_rootfs_artifact_delete(vmette_rootfs_artifact* artifact) {
  delete artifact;
}

vmette_error* vmette_rootfs_artifact_set_path(vmette_rootfs_artifact* artifact, const char* path) {
  if (path == nullptr) return null_argument(__func__, "path");
  return change(__func__, artifact, [&](RootfsArtifact& a) { a.path = path; });
}

vmette_error* vmette_rootfs_artifact_set_fstype(vmette_rootfs_artifact* artifact,
                                                const char* fstype) {
  return change(__func__, artifact,
                [&](RootfsArtifact& a) { a.fstype = fstype == nullptr ? "" : fstype; });
}

vmette_error* vmette_rootfs_artifact_set_read_only(vmette_rootfs_artifact* artifact, bool on) {
  return change(__func__, artifact, [&](RootfsArtifact& a) { a.read_only = on; });
}

vmette_error* vmette_rootfs_artifact_add_image_env(vmette_rootfs_artifact* artifact,
                                                   const char* key, const char* value) {
  if (key == nullptr) return null_argument(__func__, "key");
  if (value == nullptr) return null_argument(__func__, "value");
  if (artifact == nullptr) return null_argument(__func__, "artifact");
  return guarded([&]() -> Result<void> {
    if (!vmette::core::valid_env_key(key))
      return Error(Code::kInvalidArgument,
                   vmette::core::one_line(fmt::format(
                       "image_env: '{}' is not a variable name; use [A-Za-z_][A-Za-z0-9_]*", key)));
    artifact->artifact.image_env.emplace_back(key, value);
    return done();
  });
}

const char* vmette_rootfs_artifact_path(const vmette_rootfs_artifact* artifact) {
  return artifact == nullptr ? "" : artifact->artifact.path.c_str();
}

const char* vmette_rootfs_artifact_fstype(const vmette_rootfs_artifact* artifact) {
  return artifact == nullptr ? "" : artifact->artifact.fstype.c_str();
}

bool vmette_rootfs_artifact_read_only(const vmette_rootfs_artifact* artifact) {
  return artifact != nullptr && artifact->artifact.read_only;
}

size_t vmette_rootfs_artifact_image_env_count(const vmette_rootfs_artifact* artifact) {
  return artifact == nullptr ? 0 : artifact->artifact.image_env.size();
}

const char* vmette_rootfs_artifact_image_env_key(const vmette_rootfs_artifact* artifact,
                                                 size_t index) {
  const auto* variable = image_env(artifact, index);
  return variable == nullptr ? nullptr : variable->first.c_str();
}

const char* vmette_rootfs_artifact_image_env_value(const vmette_rootfs_artifact* artifact,
                                                   size_t index) {
  const auto* variable = image_env(artifact, index);
  return variable == nullptr ? nullptr : variable->second.c_str();
}

vmette_error* vmette_config_set_rootfs_artifact(vmette_config* config,
                                                const vmette_rootfs_artifact* artifact,
                                                bool force_read_only) {
  if (config == nullptr) return null_argument(__func__, "config");
  if (artifact == nullptr) return null_argument(__func__, "artifact");
  return guarded([&]() -> Result<void> {
    if (artifact->artifact.path.empty())
      return Error(Code::kInvalidArgument,
                   "vmette_config_set_rootfs_artifact: the artifact has no path; set one");
    vmette::core::set_rootfs_artifact(config->config, artifact->artifact, force_read_only);
    return done();
  });
}

vmette_error* vmette_config_resolve_rootfs(const vmette_config* config, const char* spec,
                                           vmette_rootfs_artifact** out) {
  if (config == nullptr) return null_argument(__func__, "config");
  if (spec == nullptr) return null_argument(__func__, "spec");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto artifact = vmette::core::resolve_spec(config->config, spec);
    if (!artifact) return artifact.error();
    *out = new vmette_rootfs_artifact{std::move(artifact.value())};
    return done();
  });
}

vmette_error* vmette_config_add_provider(vmette_config* config, const char* name,
                                         const char* claims, vmette_provider_matches matches,
                                         vmette_provider_provide provide, void* env,
                                         vmette_finalizer finalizer) {
  std::shared_ptr<void> owned;
  if (vmette_error* error = own(env, finalizer, owned)) return error;
  if (config == nullptr) return null_argument(__func__, "config");
  if (name == nullptr) return null_argument(__func__, "name");
  if (claims == nullptr) return null_argument(__func__, "claims");
  if (matches == nullptr) return null_argument(__func__, "matches");
  if (provide == nullptr) return null_argument(__func__, "provide");
  return guarded([&]() -> Result<void> {
    BOOST_OUTCOME_TRYV(vmette::core::check_provider_name(config->config, name));
    config->config.providers.push_back(
        std::make_shared<CallbackProvider>(name, claims, matches, provide, owned));
    return done();
  });
}

size_t vmette_config_provider_count(const vmette_config* config) {
  if (config == nullptr) return 0;
  return value_or<size_t>(0, [&] { return vmette::core::providers_of(config->config).size(); });
}

const char* vmette_config_provider_name(const vmette_config* config, size_t index) {
  return value_or<const char*>(nullptr, [&]() -> const char* {
    const auto provider = provider_at(config, index);
    return provider == nullptr ? nullptr : provider->name().c_str();
  });
}

const char* vmette_config_provider_claims(const vmette_config* config, size_t index) {
  return value_or<const char*>(nullptr, [&]() -> const char* {
    const auto provider = provider_at(config, index);
    return provider == nullptr ? nullptr : provider->claims().c_str();
  });
}

vmette_error* vmette_provider_context_cache_dir(vmette_provider_context* context,
                                                const char** out) {
  if (context == nullptr) return null_argument(__func__, "context");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto directory = context->context.cache_dir();
    if (!directory) return directory.error();
    context->cache_dir = std::move(directory.value());
    *out = context->cache_dir.c_str();
    return done();
  });
}

bool vmette_provider_context_offline(const vmette_provider_context* context) {
  return context != nullptr && context->context.offline();
}

vmette_error* vmette_provider_context_report(vmette_provider_context* context, const char* step,
                                             uint64_t done, uint64_t total) {
  if (context == nullptr) return null_argument(__func__, "context");
  if (step == nullptr) return null_argument(__func__, "step");
  return guarded([&]() -> Result<void> {
    if (context->thread != std::this_thread::get_id())
      return Error(Code::kState,
                   "progress is reported on the thread on which the provider was called; do it "
                   "there");
    return context->context.report(vmette::core::one_line(step), done, total);
  });
}

}  // extern "C"
