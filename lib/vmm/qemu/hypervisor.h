#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/machine.h"
#include "vmm/qemu/child.h"
#include "vmm/qemu/command_line.h"
#include "vmm/qemu/console_log.h"
#include "vmm/qemu/qmp.h"

namespace vmette::vmm {

// How a machine ended: the fields of the `stopped` event.
struct Ending {
  std::string reason;   // poweroff, reset, killed or exited
  std::string status;   // of the process, in words
  std::string message;  // last lines of its stderr
};

// What QEMU reaches by descriptor only.
struct Attachments {
  std::vector<UniqueFd> share_sockets;  // to the virtiofsd of each share; invalid over 9p
  UniqueFd scratch;                     // of a machine that has such a disk
  std::vector<UniqueFd> disks;          // copies that stand for a disk's path; invalid for others
  UniqueFd ram;                         // of a machine whose memory is a file
  UniqueFd empty_directory;             // of a machine with reserved shares
};

// A disk that could not be read or written for the first time.
struct DiskTrouble {
  std::string node;    // as in command_line.h
  bool full = false;   // no room on the host
  std::string reason;  // in QEMU's words
};

// One QEMU process and the near ends of its channels. The owner polls qmp().fd(), console_fd() and
// stderr_fd() and calls the on_ functions; nothing here blocks but the destructor, which kills the
// process and waits for it.
class Hypervisor {
 public:
  // Starts QEMU with the machine stopped before its first instruction. Throws Failure
  // hypervisor.
  Hypervisor(const Machine& machine, const std::string& program, Accel accel,
             const std::string& cmdline, const Attachments& attached,
             const Beginning& beginning = {});

  Hypervisor(Hypervisor&&) = delete;  // QMP's handlers point here
  Hypervisor& operator=(Hypervisor&&) = delete;
  ~Hypervisor() = default;

  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  [[nodiscard]] Qmp& qmp() { return *qmp_; }
  // The library's end of the control stream; once.
  UniqueFd take_control() { return std::move(control_); }

  [[nodiscard]] int console_fd() const { return console_.get(); }
  [[nodiscard]] int stderr_fd() const { return stderr_.get(); }
  [[nodiscard]] ConsoleLog& log() { return log_; }
  void on_console();
  void on_stderr();

  void kill() { child_->kill(); }
  // The guest has begun to power off or reset, so QEMU is about to end.
  [[nodiscard]] bool is_ending() {
    qmp_->on_ready();
    return !shutdown_reason_.empty();
  }
  // Why QEMU's state did not travel; empty when it did.
  using Moved = std::function<void(const std::string& error)>;
  // Writes the state of the machine, whose vCPUs do not run, to a pipe: without the memory, which
  // is a file, or `with_memory`. One at a time; `done` is called once, or never when QEMU ends
  // first.
  void write_state(UniqueFd pipe, bool with_memory, Moved done);
  // Reads it; the vCPUs do not run afterwards. When it cannot, QEMU may end by itself.
  void read_state(UniqueFd pipe, bool with_memory, Moved done);

  // What QEMU has told since the last call, once for each disk.
  std::vector<DiskTrouble> take_disk_troubles() { return std::exchange(disk_troubles_, {}); }
  // Becomes part of the ending's message.
  void blame(const std::string& what) { stderr_text_ += what + "\n"; }
  // After the process has ended: everything that it left in its channels is read, then the ending
  // is told, once. Nothing while it runs.
  std::optional<Ending> finish();

 private:
  void on_event(const std::string& name, const nlohmann::json& data);
  void on_status(const std::string& status);
  void move_state(const char* command, UniqueFd pipe, bool with_memory, Moved done);
  void on_migration(const std::string& status);
  void end_move(uint64_t move, const std::string& error);
  [[nodiscard]] std::string reason_for(int status) const;

  std::optional<Child> child_;
  std::optional<Qmp> qmp_;
  UniqueFd control_;
  UniqueFd console_;
  UniqueFd stderr_;
  ConsoleLog log_;
  std::string stderr_text_;
  std::set<std::string> troubled_;  // nodes
  std::vector<DiskTrouble> disk_troubles_;
  std::string shutdown_reason_;  // of QMP's SHUTDOWN event
  Moved moved_;                  // while the state travels
  uint64_t moves_ = 0;           // so far, this one counted
};

}  // namespace vmette::vmm
