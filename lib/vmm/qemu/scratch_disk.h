#pragma once

#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "vmm/machine.h"
#include "vmm/qemu/child.h"
#include "vmm/qemu/failure.h"

namespace vmette::vmm {

// A sparse file without a name that mke2fs formats beside the event loop: it is gone with its last
// descriptor, whatever ends this process, and mke2fs with this process. That takes milliseconds,
// but as long as a slow disk likes.
class ScratchDisk {
 public:
  // Throws Failure not_found when there is no mke2fs, bad_scratch when the directory cannot hold
  // the file.
  explicit ScratchDisk(const Scratch& scratch);

  // Of what mke2fs prints.
  [[nodiscard]] int output_fd() const { return output_.get(); }
  void on_output();
  void kill() { mke2fs_->kill(); }
  // The file once mke2fs has ended, before that nothing. Throws Failure bad_scratch.
  std::optional<UniqueFd> finish();

 private:
  Scratch scratch_;
  UniqueFd file_;
  UniqueFd output_;
  std::optional<Child> mke2fs_;
  std::string words_;
};

// A file in the directory that is gone with its last descriptor; invalid with errno set when none
// can be made.
UniqueFd unnamed_file(const std::string& directory);
// The code bad_scratch.
Failure bad_scratch(const Scratch& scratch, const std::string& what);

// VMETTE_MKE2FS, else mke2fs in PATH or where distributions put it. Throws Failure not_found.
std::string find_mke2fs();

}  // namespace vmette::vmm
