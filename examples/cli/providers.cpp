#include "providers.h"

#include <algorithm>
#include <vmette.hpp>

namespace vmette_cli {

std::string providers_text() {
  constexpr std::size_t kClaimsColumn = 12;
  std::string text = "rootfs providers, the first that claims a SPEC serves it:\n";
  const vmette::Config config;
  for (std::size_t i = 0; i < config.provider_count(); ++i) {
    std::string line = "  " + std::string(config.provider_name(i));
    line.resize(std::max(line.size() + 1, kClaimsColumn), ' ');
    text += line + std::string(config.provider_claims(i)) + "\n";
  }
  return text + R"(
  vmette --rootfs / -- uname -a
  vmette --rootfs squashfs+file:///srv/debian.sqfs -- uname -a
Without --rootfs the guest runs in its built-in busybox.
)";
}

}  // namespace vmette_cli
