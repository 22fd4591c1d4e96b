#pragma once

#include "core/config.h"
#include "core/error.h"

namespace vmette::core {

// Makes the configuration one whose machine can be saved: a directory as root becomes an image, and
// the images that a snapshot will refer to are noted as they are now. `progress` may be empty.
Result<void> prepare_for_saving(Config& config, const Progress& progress);

}  // namespace vmette::core
