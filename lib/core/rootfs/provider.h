// Where roots come from: a provider turns a spec, for example "./debian" or
// "squashfs+file:///x.sqfs", into a directory or an image of this machine. To the rest of the
// library its own providers and those of the embedding program are the same.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/error.h"
#include "wire/messages.h"

namespace vmette::core {

// What a provider made of a spec.
struct RootfsArtifact {
  std::string path;    // of a directory or an image
  std::string fstype;  // empty: a directory; else the image's type
  bool read_only = false;
  wire::EnvList image_env;  // what the image wants to be set; the caller's env wins
};

// What a provider may ask for while it works; valid during the call only.
class ProviderContext {
 public:
  // Borrows both.
  ProviderContext(const Config& config, const std::string& provider)
      : config_(config), provider_(provider) {}

  // The provider's own directory below the cache directory, made when it is missing.
  [[nodiscard]] Result<std::string> cache_dir() const;
  // The network must be left alone: what is not in the cache is a kOfflineCacheMiss.
  [[nodiscard]] bool offline() const { return config_.offline; }
  // Tells the caller's progress callback; kCancelled when that wants the provider to give up.
  [[nodiscard]] Result<void> report(const std::string& step, uint64_t done, uint64_t total) const;

 private:
  const Config& config_;
  const std::string& provider_;
};

// Copies of a configuration share its providers, and each copy may be used on a thread of its own.
class Provider {
 public:
  // `claims`: the specs that it takes, for a person.
  Provider(std::string name, std::string claims)
      : name_(std::move(name)), claims_(std::move(claims)) {}
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;
  virtual ~Provider() = default;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& claims() const { return claims_; }
  // True when provide() only looks at local files, so that checking a configuration may call it.
  [[nodiscard]] virtual bool quick() const { return false; }

  [[nodiscard]] virtual Result<bool> matches(const std::string& spec) const = 0;
  [[nodiscard]] virtual Result<RootfsArtifact> provide(const std::string& spec,
                                                       const ProviderContext& context) const = 0;

 private:
  std::string name_;
  std::string claims_;
};

}  // namespace vmette::core
