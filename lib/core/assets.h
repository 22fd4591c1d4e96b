#pragma once

#include <string>

#include "core/config.h"
#include "core/error.h"

namespace vmette::core {

// The three files that a machine starts from.
struct BootFiles {
  std::string kernel;
  std::string initramfs;
  std::string helper;
  std::string kernel_sha256 = {};  // as the boot assets say; empty: not from them
  std::string initramfs_sha256 = {};
};

// Finds kernel, initramfs and helper: what the configuration names, else the boot assets and the
// helper of this build. Kernel and initramfs from the assets are one matched set, checked against
// the manifest (protocol generation, sizes). Fails with kNotFound, saying where it looked.
Result<BootFiles> find_boot_files(const Config& config);

// The helper alone.
Result<std::string> find_helper(const Config& config);

// The guest architecture of this host, "x86_64" or "aarch64".
const char* guest_arch();

}  // namespace vmette::core
