#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/machine.h"

namespace vmette::vmm {

// A virtiofsd program. There are two, with different options: the one that came with QEMU until
// 7.2 and runs as root only, and the one in Rust since.
struct Virtiofsd {
  std::string program;
  std::string version;
  bool needs_root = false;        // the one of QEMU
  bool read_only_option = false;  // it can serve a directory read-only by itself
};

// VMETTE_VIRTIOFSD, else virtiofsd in PATH, else where distributions put it. Throws Failure
// not_found.
std::string find_virtiofsd();

// From what `program --version` prints; nothing when that is no virtiofsd.
std::optional<Virtiofsd> parse_virtiofsd(const std::string& program, std::string_view output);

// How a server gets its directory.
struct ServedDirectory {
  std::string path;
  bool is_private = false;  // a mount of its own, read-only where the share is
};

// argv of a server for `share` that takes one connection on the listening socket `listen_fd`.
std::vector<std::string> virtiofsd_argv(const Virtiofsd& virtiofsd, const Share& share,
                                        const ServedDirectory& directory, int listen_fd);

}  // namespace vmette::vmm
