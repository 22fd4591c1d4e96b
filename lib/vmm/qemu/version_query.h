#pragma once

#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "vmm/qemu/child.h"

namespace vmette::vmm {

// Runs `program --version` beside the event loop.
class VersionQuery {
 public:
  // Throws Failure hypervisor when the program does not start.
  explicit VersionQuery(const std::string& program);

  [[nodiscard]] int fd() const { return output_.get(); }
  void on_output();
  // The version once the program has ended; empty when it printed none.
  std::optional<std::string> finish();

 private:
  UniqueFd output_;
  std::optional<Child> child_;
  std::string text_;
};

}  // namespace vmette::vmm
