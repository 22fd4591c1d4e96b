// File-system images for tests, built by the tools of their file systems.
#pragma once

#include <cstdint>
#include <string>

#include "support/catch.h"
#include "support/program.h"

namespace vmette_test {

// Runs a tool that must work.
inline void tool(const std::vector<std::string>& argv) {
  const Ending ending = run_program(argv);
  INFO(argv[0] << ": " << ending.out << ending.err);
  REQUIRE(ending.code == 0);
}

// An image of `tree` at `image`; `fstype` is squashfs, erofs or ext4.
inline void make_image(const std::string& fstype, const std::string& tree,
                       const std::string& image) {
  if (fstype == "squashfs")
    return tool({"mksquashfs", tree, image, "-quiet", "-no-progress", "-noappend", "-all-root"});
  if (fstype == "erofs") return tool({"mkfs.erofs", "--all-root", image, tree});
  tool({"/usr/sbin/mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", tree, image, "32M"});
}

}  // namespace vmette_test
