#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/machine.h"
#include "vmm/qemu/hypervisor.h"
#include "vmm/qemu/worker.h"

namespace vmette::vmm {

// The disks that a machine writes to a copy of (Scratch::image, Disk::copy_in), made beside the
// event loop as files without names.
class DiskCopies {
 public:
  static bool needed(const Machine& machine);
  // Throws Failure bad_disk or bad_scratch when a file cannot be opened or made.
  explicit DiskCopies(const Machine& machine);

  // Readable once they are made, or cannot be.
  [[nodiscard]] int fd() const { return worker_->fd(); }
  void cancel() { worker_->cancel(); }
  // Whether they are made; hands them on once. Throws Failure as above.
  bool finish(Attachments& attached);

 private:
  struct Copy {
    std::optional<size_t> disk;  // its index; none: the scratch disk
    UniqueFd from;
    UniqueFd to;
  };

  void add_disk(size_t index);
  void add_scratch();
  void make(const std::atomic<bool>& cancelled);

  Machine machine_;
  std::vector<Copy> copies_;
  size_t current_ = 0;  // the one that is made or failed; the worker's until it has ended
  std::optional<Worker> worker_;
};

}  // namespace vmette::vmm
