// From a spec to a root, through the first provider that claims it.
#pragma once

#include <string>

#include "core/rootfs/provider.h"

namespace vmette::core {

// The configuration's providers in the order in which they are asked: the embedding program's in
// the order they were added, then the library's.
ProviderList providers_of(const Config& config);

// Whether another provider may have this name, which is also that of its cache directory.
Result<void> check_provider_name(const Config& config, const std::string& name);

// Asks the providers. The artifact's path is absolute, exists, and is what the artifact says.
Result<RootfsArtifact> resolve_spec(const Config& config, const std::string& spec);

// Makes the artifact the configuration's root, in place of an earlier one; without a writable layer
// when the artifact or the caller says so.
void set_rootfs_artifact(Config& config, RootfsArtifact artifact, bool force_read_only);

enum class Effort : uint8_t { kAll, kQuick };

// The configuration with its spec, if it has one, resolved, and without providers and progress:
// what is called back stays with the caller's configuration. kQuick leaves a spec whose provider is
// not quick() as it is, provided that one claims it.
Result<Config> resolved(Config config, Effort effort);

}  // namespace vmette::core
