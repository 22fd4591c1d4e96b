#pragma once

#include "core/rootfs/provider.h"

namespace vmette::core {

// The library's own providers, in the order in which they are asked.
const ProviderList& builtin_providers();

// Directories: /PATH, ./PATH, ../PATH, ~/PATH, and the relative path of an existing directory.
std::shared_ptr<const Provider> directory_provider();

// Images of one type: FSTYPE+file:///PATH.
std::shared_ptr<const Provider> image_provider(const std::string& fstype);

}  // namespace vmette::core
