#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::vmm {

// Names in the directory of a snapshot.
inline constexpr const char* kRamFile = "ram";          // the machine's memory, holes for zeros
inline constexpr const char* kDevicesFile = "devices";  // QEMU's stream without the memory
inline constexpr const char* kScratchFile = "scratch";
std::string disk_file(size_t index);

// A file of a snapshot.
struct SavedFile {
  std::string name;
  uint64_t size = 0;    // bytes
  uint64_t stored = 0;  // bytes of disk
};

// The directory that a machine is saved to, with a shared lock that tells others that it is in use.
// Gone with this object, unless somebody has given it another name: then it is theirs.
class SaveDirectory {
 public:
  // Makes it. Throws Failure save_failed.
  explicit SaveDirectory(std::string path);
  SaveDirectory(SaveDirectory&&) = default;
  SaveDirectory& operator=(SaveDirectory&&) = delete;
  ~SaveDirectory();

  [[nodiscard]] const std::string& path() const { return path_; }
  // Whether it still has its name.
  [[nodiscard]] bool in_place() const;

  // A new file, to be read and written. Throws Failure save_failed.
  [[nodiscard]] UniqueFd create(const std::string& name) const;
  void remove(const std::string& name) const;
  // Where the directory itself is to be synced.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace vmette::vmm
