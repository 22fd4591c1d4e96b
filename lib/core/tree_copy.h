#pragma once

#include <functional>
#include <string>

#include "core/error.h"
#include "core/session.h"
#include "tree/tree.h"

namespace vmette::core {

struct CopyOptions {
  uint32_t flags = 0;                // kCallParents, kCallOwners
  uint64_t most_bytes = UINT64_MAX;  // of content, from the guest only
  int64_t timeout_ms = -1;
  // Of what is being copied; false gives up.
  std::function<bool(const std::string& path, const tree::Progress&)> progress;
};

// Copy a directory with all that is in it, or a file, between host and guest. They run on the
// calling thread, which waits for the disk and for the guest. What was copied before a failure
// stays.
Result<tree::Progress> copy_in(Session& session, const std::string& host_path,
                               const std::string& guest_path, const CopyOptions& options);
Result<tree::Progress> copy_out(Session& session, const std::string& guest_path,
                                const std::string& host_path, const CopyOptions& options);

}  // namespace vmette::core
