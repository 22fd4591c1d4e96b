#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/machine.h"
#include "vmm/qemu/failure.h"
#include "vmm/qemu/hypervisor.h"
#include "vmm/qemu/launch_plan.h"
#include "vmm/qemu/save_directory.h"
#include "vmm/qemu/second_save.h"
#include "vmm/qemu/worker.h"

namespace vmette::vmm {

// What a save reads beside QEMU's stream.
struct SaveSources {
  struct Disk {
    std::string name;  // of its copy
    UniqueFd file;
  };

  UniqueFd ram;             // the memory; invalid: no file holds it, it comes with the stream
  std::vector<Disk> disks;  // that the machine writes
  std::vector<uint64_t> disk_bytes;  // of all, the scratch disk's last
};

// Opens what a machine that has just got `attached` can be saved from. Throws Failure bad_disk.
SaveSources save_sources(const Machine& machine, const Attachments& attached);

// One save of a machine, from stopping its vCPUs to files that are on the disk. The copying is done
// by workers: the owner polls what watch() asks for and calls step() after every turn. Once over()
// the directory is complete, or there is a failure() and the machine goes on as it did before.
class Save {
 public:
  struct Wish {
    bool running = false;  // the machine is, now
    bool resume = false;   // and shall be afterwards
  };

  // `machine`, `plan` and `sources` live longer than this. Throws Failure save_failed.
  Save(Hypervisor& qemu, const Machine& machine, const LaunchPlan& plan, const SaveSources& sources,
       SaveDirectory directory, Wish wish);
  Save(Save&&) = delete;
  Save& operator=(Save&&) = delete;
  // Waits for the workers. QEMU must have ended, or this be over().
  ~Save();

  void watch(const AddWatch& add);
  void step();
  // Ends it soon, with a failure.
  void cancel();

  // The vCPUs go on; told once.
  bool take_continued() { return std::exchange(continued_, false); }
  // QEMU is still needed: not once the vCPUs have gone on or are to stay where they are.
  [[nodiscard]] bool needs_machine() const { return phase_ <= Phase::kLettingGo; }
  [[nodiscard]] bool over() const { return phase_ == Phase::kOver; }
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  [[nodiscard]] bool running() const { return running_; }
  [[nodiscard]] int64_t pause_us() const { return pause_us_; }
  [[nodiscard]] std::vector<SavedFile> files() const;
  SaveDirectory take_directory() { return std::move(directory_); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Phase { kCapturing, kLettingGo, kRewriting, kSyncing, kOver };

  struct File {
    std::string name;
    UniqueFd fd;
    int source = -1;  // what it is a copy of; none: QEMU's stream
  };

  void begin();
  void step_capture();
  void start_copies();
  void let_go();
  void go_on();
  void rewrite();
  void step_rewrite();
  void step_sync();
  void copy_all(const std::atomic<bool>& cancelled);
  void sync_all(const std::atomic<bool>& cancelled);
  // The first failure counts.
  void fail(const Failure& failure);
  void take_error(const Worker& worker, const std::string& name);
  [[nodiscard]] bool with_memory() const { return !sources_.ram; }

  Hypervisor& qemu_;
  const Machine& machine_;
  const LaunchPlan& plan_;
  const SaveSources& sources_;
  SaveDirectory directory_;
  Wish wish_;
  Phase phase_ = Phase::kCapturing;

  std::vector<File> files_;  // the first is QEMU's stream
  size_t current_ = 0;       // which one the copier is at; its own until it has ended
  UniqueFd pipe_;            // from QEMU, while the reader lives
  bool stopped_ = false;
  bool moved_ = false;
  bool copied_ = false;
  std::optional<Worker> reader_;
  std::optional<Worker> copier_;
  std::optional<Worker> syncer_;
  std::optional<SecondSave> second_;

  Clock::time_point begin_;
  int64_t pause_us_ = 0;
  bool running_;
  bool continued_ = false;
  std::optional<Failure> failure_;
};

}  // namespace vmette::vmm
