#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/assets.h"
#include "core/capture.h"
#include "core/config.h"
#include "core/end.h"
#include "core/error.h"
#include "core/event.h"
#include "core/guest_call.h"
#include "core/guest_client.h"
#include "core/process.h"
#include "core/reactor.h"
#include "core/snapshot/restore.h"
#include "core/vmm_client.h"

namespace vmette::core {

// Same numbers as VMETTE_STATE_*.
enum class State : int32_t { kCreated = 0, kStarting = 1, kReady = 2, kPaused = 3, kEnded = 4 };

// What the main command does with its streams.
struct MainStdio {
  enum class Kind : uint8_t { kDiscard, kCapture, kPipes };
  Kind kind = Kind::kDiscard;
  bool stdin_pipe = false;
  std::optional<wire::WindowSize> tty;
};

// Bytes kept of a guest's console.
inline constexpr size_t kConsoleBytes = size_t{64} * 1024;
inline constexpr const char* kStoppedMessage = "the session was stopped";

// What saving a machine came to.
struct SavedMachine {
  struct File {
    std::string name;     // in the directory
    uint64_t size = 0;    // bytes
    uint64_t stored = 0;  // bytes of disk
  };
  uint64_t pause_us = 0;  // for how long the vCPUs stood still
  std::vector<File> files;
};

struct TimelineEntry {
  std::string name;
  uint64_t at_us = 0;  // since the launch
};

// One virtual machine, from its start to its end.
//
//   created --launch()--> starting --READY--> ready --finish()--> (teardown) --> ended
//                             \---------------finish()---------------^
//
// finish() decides how the session ends, once; then the helper is let go, and when it has been
// collected the state becomes `ended` and everyone who waits sees the same End. From launch to
// `ended` the session keeps itself alive.
//
// Threads: every public method from any thread. Private methods run on the reactor's thread, but
// for those that say otherwise.
class Session : public std::enable_shared_from_this<Session> {
 public:
  // Validates, and resolves the root's spec, on the calling thread. Without `stdio` the main
  // command's output is captured if the configuration says so, else discarded.
  // `reactor` must outlive the session; its owner must not be the session itself, which may be
  // freed on the reactor's thread.
  static Result<std::shared_ptr<Session>> create(Reactor& reactor, Config config,
                                                 std::optional<MainStdio> stdio = std::nullopt);

  // Finds the boot files and starts the helper. Returns at once.
  Result<void> launch();
  // With a helper that runs already, which is what tests and fuzzers play.
  Result<void> launch_with(BootFiles files, HelperProcess helper);
  Result<void> wait_ready(int64_t timeout_ms) const;
  Result<void> wait(int64_t timeout_ms) const;
  // Ask for an end and return at once; a session that was never launched stays as it is.
  void request_stop(uint32_t grace_ms);
  void request_kill();

  [[nodiscard]] const Config& config() const { return config_; }
  // The image that the root was packed into, held open; -1 where it was not.
  [[nodiscard]] int packed_root_fd() const { return packed_root_.get(); }
  [[nodiscard]] const std::optional<Restore>& restore() const { return restore_; }
  [[nodiscard]] State state() const;
  [[nodiscard]] End end() const;
  [[nodiscard]] std::string cmdline() const;
  [[nodiscard]] std::vector<TimelineEntry> timeline() const;
  [[nodiscard]] BootFiles boot_files() const;
  // The main command; nothing while it does not exist.
  [[nodiscard]] std::shared_ptr<Process> main_process() const;
  [[nodiscard]] const Event& ready_event() const { return ready_event_; }
  [[nodiscard]] const Event& end_event() const { return end_event_; }
  void resize(wire::WindowSize size);

  // Starts a command; see vmette_session_exec().
  Result<std::shared_ptr<Process>> exec(ProcessSpec spec);
  // Asks the agent and returns at once; see GuestCall.
  Result<std::shared_ptr<GuestCall>> begin_call(CallSpec spec);
  // Waits until the call is done. What is under way when the time is over is given up.
  void finish_call(const std::shared_ptr<GuestCall>& call, int64_t timeout_ms);
  // The guest has been found to break a rule: ends the session. Any thread.
  void accuse(std::string what);
  // Stop the vCPUs and let them go on. They return when it is done.
  Result<void> pause();
  Result<void> unpause();
  // Has the machine written to `directory`, which must not exist and belongs to the helper until it
  // is renamed. The guest's processes are frozen meanwhile and go on afterwards.
  Result<SavedMachine> save(const std::string& directory);
  // What the helper says of the hypervisor, for the manifest of a snapshot. Empty before the
  // machine exists.
  [[nodiscard]] MachineIdentity identity() const;
  // The last bytes that the console printed.
  [[nodiscard]] std::string console() const;

  // Opens a stream in the guest as soon as the reactor comes to it; one that cannot be opened is
  // detached with the reason. Any thread.
  void open_stream(std::shared_ptr<GuestStream> stream);
  // Runs `work` on the reactor's thread while the session is kept alive. Any thread.
  void post(std::function<void()> work);
  [[nodiscard]] Reactor& reactor() const { return reactor_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Timer = boost::asio::steady_timer;

  Session(Reactor& reactor, Config config, MainStdio stdio, std::string ca_certs,
          std::optional<Restore> restore);

  // Any thread.
  [[nodiscard]] Result<void> must_be_ready() const;
  void add_timeline(std::string name, Clock::time_point at = Clock::now());
  [[nodiscard]] uint64_t elapsed_ms() const;
  Result<void> leave_created();
  void begin_with(BootFiles files, HelperProcess helper);
  void fail_launch(const Error& error);

  // Whether there is a machine to end; remembers the wish when it is only coming.
  bool may_end();

  // Boot (session_boot.cpp).
  void begin(HelperProcess helper);
  void arm_deadlines();
  void arm_session_timeout(Clock::time_point at);
  void create_machine();
  void machine_created(const nlohmann::json& answer);
  void note_shares(const nlohmann::json& answer);
  void disk_failed(const VmmClient::DiskError& error);
  void attach_guest(UniqueFd stream);
  void handle_frame(const wire::Frame& frame);
  void handle_hello(const wire::Frame& frame);
  void handle_ready(const wire::Frame& frame);
  void handle_setup_error(const wire::Frame& frame);
  void send_setup(uint32_t generation);
  void start_main();
  void attach_stream(std::shared_ptr<GuestStream> stream);

  // Pause (session_pause.cpp).
  using PauseAnswer = std::shared_ptr<std::promise<Result<void>>>;
  Result<void> change_pause(bool on);
  void begin_pause(bool on, const PauseAnswer& answer);
  void pause_done(bool on);
  void stop_clocks(bool on);

  // Save and resume (session_save.cpp).
  struct SaveJob;
  void begin_save(std::shared_ptr<SaveJob> job);
  void set_save_deadline(std::chrono::milliseconds from_now);
  void save_late();
  bool handle_quiesce_answer(const wire::Frame& frame);
  void handle_quiesced(const wire::Frame& frame);
  void handle_quiesce_error(const wire::Frame& frame);
  void save_machine();
  void machine_saved(Result<SavedMachine> saved);
  void machine_continued();
  void end_save();
  Result<void> note_identity(const nlohmann::json& answer);
  void restore_failed(Error error);
  void expect_wake();
  void send_wake(bool restored);
  void handle_waking(const wire::Frame& frame);
  void handle_wake_error(const wire::Frame& frame);
  void saved_guest_awake();
  void restored_guest_awake(const wire::Hello& hello);
  void run_hook(const std::string& line, const char* name, std::function<void()> then);

  void main_finished();
  void announce_ready();
  void add_guest_step(const std::string& name, uint64_t guest_us);

  // End (session_end.cpp).
  enum class Descent : uint8_t { kOrderly, kAtOnce };
  void add_console(const std::string& bytes);
  void machine_stopped(const VmmClient::Stopped& stopped);
  void guest_lost(const std::string& why);
  void violation(const std::string& what);
  void ready_deadline_passed();
  // A handler of some session has thrown.
  void reactor_failed(const std::string& what);
  // The session has failed: `error` gets stage, elapsed time and console tail.
  void fail(Error error);
  // Decides the end, if nobody has, and takes the machine down.
  void finish(EndKind kind, int32_t exit_code, std::string message, Descent descent,
              uint32_t grace_ms = 0);
  void begin_shutdown(uint32_t grace_ms);
  void teardown();
  void publish_end();
  [[nodiscard]] bool writes_to_host() const;

  // Constant after construction.
  Reactor& reactor_;
  const Config config_;
  const MainStdio stdio_;
  const std::string ca_certs_;            // PEM
  const std::optional<Restore> restore_;  // where the machine comes from, if it was saved
  HeldFd packed_root_;
  const uint64_t number_;  // in the log
  Event ready_event_;
  Event end_event_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  State state_ = State::kCreated;
  End end_;
  std::optional<Error> start_error_;  // why it never got ready
  bool was_ready_ = false;
  std::string cmdline_;
  MachineIdentity identity_;
  std::vector<TimelineEntry> timeline_;
  std::shared_ptr<Process> main_;
  std::string console_;  // its last bytes
  Clock::time_point launched_at_{};
  BootFiles files_;

  // Reactor thread only.
  enum class GuestPhase : uint8_t {
    kHello,     // nothing has come yet
    kSetup,     // SETUP was sent
    kReady,     // commands run
    kShutdown,  // SHUTDOWN was sent
  };
  std::shared_ptr<Session> self_;  // from launch to the end
  std::shared_ptr<VmmClient> vmm_;
  std::shared_ptr<GuestClient> guest_;
  GuestPhase phase_ = GuestPhase::kHello;
  std::string stage_ = "helper";  // for errors of the start
  std::map<uint64_t, std::shared_ptr<GuestStream>> streams_;
  uint64_t next_stream_ = 1;
  std::shared_ptr<SaveJob> save_;  // while one is under way
  bool pausing_ = false;           // the helper was asked
  std::string wake_nonce_;         // of the HELLO that is waited for, empty: none
  size_t stale_bytes_ = 0;         // that have come before it
  std::optional<End> decided_;
  std::optional<Error> failure_;  // with a decided kError
  bool emulated_ = false;
  std::set<std::string> virtiofs_tags_;         // of the shares that go over virtio-fs
  std::optional<Clock::duration> paused_left_;  // of the session's timeout
  Clock::time_point hello_at_{};                // when HELLO came ...
  uint64_t hello_guest_us_ = 0;                 // ... and the guest's uptime then
  bool stopped_early_ = false;                  // somebody asked for the end before begin()
  bool torn_down_ = false;
  Timer ready_timer_;
  Timer session_timer_;
  Timer end_timer_;  // bounds an orderly shutdown, and the wait for why the guest was lost
};

}  // namespace vmette::core
