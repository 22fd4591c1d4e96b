#pragma once

#include <string>

#include "core/error.h"
#include "core/progress.h"

namespace vmette::core {

// The file `source` also as `name` in an open directory, where no such name may be: a hard link,
// else a reflink, else a copy, which is on disk when this returns. Leaves nothing after a failure,
// which is kSnapshot, or kCancelled when the progress asks for it.
Result<void> place_file(const std::string& source, int directory, const std::string& name,
                        const Progress& progress);

}  // namespace vmette::core
