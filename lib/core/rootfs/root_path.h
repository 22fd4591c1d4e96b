#pragma once

#include <string>

#include "core/error.h"
#include "core/rootfs/provider.h"

namespace vmette::core {

// The same path from the root, so that it keeps its meaning when the working directory changes.
// Links and .. stay as they are: who swaps a link wants the next machine to see it.
std::string absolute_path(const std::string& path);

// Whether the artifact's path can be a root: a directory that can be read, or an image of the type
// that the artifact names. Fails with kInvalidSpec for what is wrong about the path, kIo for what
// the system refuses; the message starts with the path.
Result<void> check_root(const RootfsArtifact& artifact);

}  // namespace vmette::core
