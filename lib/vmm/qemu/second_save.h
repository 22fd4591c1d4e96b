#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/machine.h"
#include "vmm/qemu/hypervisor.h"
#include "vmm/qemu/launch_plan.h"
#include "vmm/qemu/worker.h"

namespace vmette::vmm {

// Saves a machine once more, from a stream that holds its memory as well, into the two files that a
// machine is restored from. A QEMU that is started for it alone, whose disks and channels are only
// there to look the same, reads the stream into the file `ram` and writes the rest to `devices`.
class SecondSave {
 public:
  // Open as long as this lives.
  struct Files {
    int stream = -1;
    int ram = -1;
    int devices = -1;
  };

  // `disk_bytes`: of each disk, then of the scratch disk. Throws Failure and std::system_error.
  SecondSave(const Machine& machine, const LaunchPlan& plan,
             const std::vector<uint64_t>& disk_bytes, const Files& files);

  void watch(const AddWatch& add);
  // Goes on with what has happened.
  void step();
  // Ends it with an error.
  void cancel();

  // Ended: well, when error() is empty.
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  void load();
  void save();
  void fail(const std::string& error);

  Files files_;
  UniqueFd pipe_;  // our end, while a worker uses it
  std::optional<Worker> worker_;
  std::optional<Hypervisor> qemu_;  // ends first, which a worker may wait for
  bool moved_ = false;              // the state that is under way has arrived
  bool saving_ = false;             // the second of the two ways
  bool over_ = false;
  std::string error_;
};

}  // namespace vmette::vmm
