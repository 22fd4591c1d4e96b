#include "rootfs.h"

#include <cstdlib>
#include <string_view>

namespace vmette_cli {
namespace {

bool is_path(std::string_view spec) {
  return spec.starts_with('/') || spec.starts_with("./") || spec.starts_with("../") ||
         spec == "." || spec == "..";
}

std::string_view kind_of(std::string_view spec) {
  if (spec.starts_with("squashfs+")) return "a squashfs image";
  if (spec.starts_with("tar+")) return "a tarball";
  return "an image reference";
}

}  // namespace

std::string resolve_rootfs(const std::string& spec) {
  if (is_path(spec)) return spec;
  if (spec == "~" || spec.starts_with("~/")) {
    const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): one thread so far
    if (home == nullptr) {
      throw RootfsError{"--rootfs '" + spec +
                        "' needs HOME, which is not set; write the full path"};
    }
    return home + spec.substr(1);
  }
  throw RootfsError{"--rootfs '" + spec + "' names " + std::string(kind_of(spec)) +
                    "; this version takes directories only: /PATH, ./PATH, ../PATH or ~/PATH"};
}

std::string providers_text() {
  return R"(rootfs providers, the first that claims a SPEC serves it:
  dir    a directory of this machine: /PATH, ./PATH, ../PATH, ~/PATH
         vmette --rootfs / -- uname -a
Without --rootfs the guest runs in its built-in busybox.
)";
}

}  // namespace vmette_cli
