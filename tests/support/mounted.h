// A small file system in memory, for tests that fill one. Needs root.
#pragma once

#include <sys/mount.h>

#include <filesystem>
#include <string>
#include <utility>

#include "support/catch.h"

namespace vmette_test {

// Mounted at `path`, which is made, until the end.
class Mounted {
 public:
  Mounted(std::string path, const char* options) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    REQUIRE(mount("tmpfs", path_.c_str(), "tmpfs", 0, options) == 0);
  }
  ~Mounted() { umount2(path_.c_str(), MNT_DETACH); }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

 private:
  std::string path_;
};

}  // namespace vmette_test
