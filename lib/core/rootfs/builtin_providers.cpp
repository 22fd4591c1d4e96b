#include "core/rootfs/builtin_providers.h"

namespace vmette::core {

// The order is part of the interface, see docs/rootfs.md. A catch-all goes last.
const ProviderList& builtin_providers() {
  static const ProviderList all{
      directory_provider(),
      image_provider("squashfs"),
      image_provider("erofs"),
      image_provider("ext4"),
  };
  return all;
}

}  // namespace vmette::core
