#pragma once

#include <poll.h>

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "vmm/line_channel.h"
#include "vmm/qemu/disk_copies.h"
#include "vmm/qemu/failure.h"
#include "vmm/qemu/file_servers.h"
#include "vmm/qemu/hypervisor.h"
#include "vmm/qemu/launch_plan.h"
#include "vmm/qemu/parent_watch.h"
#include "vmm/qemu/request.h"
#include "vmm/qemu/save.h"
#include "vmm/qemu/save_directory.h"
#include "vmm/qemu/scratch_disk.h"
#include "vmm/qemu/signals.h"
#include "vmm/qemu/snapshot_source.h"
#include "vmm/qemu/tsc.h"
#include "vmm/qemu/version_query.h"
#include "vmm/qemu/worker.h"

namespace vmette::vmm {

// The helper's side of docs/vmm-protocol.md: reads requests, answers them in order, watches QEMU,
// the library and the library's process. One thread, one poll() for everything; it waits without a
// timeout except in the few milliseconds in which console output is gathered.
//
// Bounds: at most kMaxRequests requests wait; while more than kMaxQueuedBytes of answers are not
// read, no further request is taken; console output is sent only into an empty queue.
class Supervisor {
 public:
  // `start` is a reading of the counter as early as possible, see host_tick_khz().
  Supervisor(UniqueFd socket, const TickSample& start);

  // Until the library, its process or SIGTERM ends it. The machine is gone when this returns.
  void run();

 private:
  using Clock = std::chrono::steady_clock;

  // A machine's life goes down this list, kRunning, kPaused and kSaving changing to and fro.
  enum class State {
    kNone,       // no machine yet
    kPreparing,  // its disks are made
    kCreating,   // QEMU starts and has not yet answered
    kCreated,    // stopped before its first instruction
    kRunning,
    kPaused,
    kSaving,  // until the answer; it may run
    kEnded,   // QEMU is gone
  };

  // One descriptor of the poll set and what to do when it is ready.
  struct Watch {
    pollfd poll;
    std::function<void(short)> ready;
  };
  std::vector<Watch> watches(bool gathering);
  void turn();

  void on_socket(short events);
  void on_signals();
  [[nodiscard]] bool has_room() const;
  void take_lines();
  void take_line(const std::string& line);
  void serve();
  void handle(const Request& request);

  void capabilities(const Request& request);
  void create(const Request& request);
  void prepare_disks();
  void kill_preparations();
  void check_preparations();
  void start_hypervisor();
  void start_file_servers();
  void created();
  void start();
  void load_snapshot();
  void check_load();
  void refuse_load(const std::string& why);
  void save(const Request& request);
  void check_save();
  void pause();
  void resume();
  void stop(const Request& request);
  void command(const char* qmp_command, State next);
  void check_children();
  void machine_ended(const Ending& ending);
  void check_file_servers();
  void end_lost_machine();
  [[nodiscard]] nlohmann::json share_list() const;

  void answer(const nlohmann::json& ok);
  void refuse(const Failure& failure);
  void refuse_as(const nlohmann::json& id, const std::string& op, const Failure& failure);
  void send(const nlohmann::json& message, std::vector<UniqueFd> fds = {});
  void send_console(bool all);
  void send_disk_troubles();
  void give_up(const char* stage, const std::string& message);

  LineChannel channel_;
  Signals signals_;
  TickSample start_;
  ParentWatch parent_;
  State state_ = State::kNone;
  Machine machine_;
  LaunchPlan plan_;
  std::optional<uint32_t> tsc_khz_;
  std::optional<ScratchDisk> scratch_;       // while it is made
  std::optional<DiskCopies> copies_;         // while they are made
  Attachments attached_;                     // until QEMU has them
  SnapshotSource source_;                    // what the machine is restored from
  SaveSources save_sources_;                 // of a machine that can be saved
  std::list<SaveDirectory> saved_;           // that may not have got their real names yet
  std::vector<UniqueFd> disk_claims_;        // until the machine ends
  std::optional<FileServers> file_servers_;  // ends after the hypervisor that uses it
  std::optional<Hypervisor> hypervisor_;
  std::optional<Worker> loader_;  // feeds `devices` to QEMU
  UniqueFd load_pipe_;            // what it writes to
  bool loading_ = false;          // QEMU has not read it all
  std::optional<Save> save_;
  std::optional<VersionQuery> version_query_;
  std::deque<Request> requests_;
  std::optional<Request> active_;  // begun and not yet answered
  Clock::time_point console_due_;  // the console is not read before
  // A file server is gone: a machine that is still there at this time ends for that reason.
  std::optional<Clock::time_point> loss_due_;
  std::string loss_;
  bool readable_ = false;  // the socket may hold lines that there was no room for
  bool done_ = false;
};

}  // namespace vmette::vmm
