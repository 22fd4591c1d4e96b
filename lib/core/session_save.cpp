// The reactor's side of saving a machine and of waking one up: a saved one that goes on, or one
// that was restored. docs/guest-protocol.md, "Quiesce and wake", has the dialogue.
#include <fmt/format.h>

#include <array>
#include <future>

#include "core/guest_failure.h"
#include "core/log.h"
#include "core/machine_plan.h"
#include "core/random.h"
#include "core/realtime.h"
#include "core/session.h"
#include "core/snapshot/restore.h"

namespace vmette::core {
namespace {

using wire::Type;
using json = nlohmann::json;

// What freezing every process and unmounting the shares may take.
constexpr std::chrono::milliseconds kQuiesceTime{10'000};
// An agent that has said nothing so long after it should have is broken.
constexpr std::chrono::milliseconds kQuiesceGrace{5'000};
constexpr std::chrono::milliseconds kWakeTime{60'000};
// What writing the machine may take: a slow disk's pace, and some more.
constexpr std::chrono::seconds kSaveTime{120};
constexpr uint64_t kSlowMibPerSecond = 8;
// Output of the old connection that a restored guest may still hand out.
constexpr size_t kMostStaleBytes = size_t{16} << 20;
constexpr size_t kHookOutputBytes = 4096;

Result<SavedMachine> saved_machine(const json& answer) {
  const Error wrong(Code::kSnapshot, "the machine's helper process did not say what it saved",
                    "save");
  SavedMachine saved;
  try {
    saved.pause_us = answer.at("pause_us").get<uint64_t>();
    for (const json& file : answer.at("files"))
      saved.files.push_back({file.at("name").get<std::string>(), file.at("size").get<uint64_t>(),
                             file.at("stored").get<uint64_t>()});
  } catch (const json::exception&) {
    return wrong;
  }
  return saved;
}

}  // namespace

struct Session::SaveJob {
  enum class Step : uint8_t {
    kQuiesce,  // QUIESCE is sent
    kSave,     // the helper was asked
    kWake,     // WAKE is sent
    kAwake,    // the guest goes on
  };
  SaveJob(std::string where, boost::asio::io_context& io)
      : directory(std::move(where)), deadline(io) {}

  const std::string directory;
  std::promise<Result<SavedMachine>> answer;
  boost::asio::steady_timer deadline;  // of the step
  Step step = Step::kQuiesce;
  std::optional<Result<SavedMachine>> result;  // once it is known
};

Result<SavedMachine> Session::save(const std::string& directory) {
  auto job = std::make_shared<SaveJob>(directory, reactor_.io());
  auto future = job->answer.get_future();
  post([this, job = std::move(job)] { begin_save(job); });
  try {
    return future.get();
  } catch (const std::future_error&) {
    // The session ended and dropped the job.
    (void)end_event_.wait(-1);
    return Error(Code::kSessionEnded, "session ended: " + end().message, "save");
  }
}

void Session::begin_save(std::shared_ptr<SaveJob> job) {
  const auto refuse = [&job](Code code, std::string why) {
    job->answer.set_value(Error(code, std::move(why), "save"));
  };
  if (!self_ && state() == State::kEnded)
    return refuse(Code::kSessionEnded, "session ended: " + end().message);
  if (decided_) return refuse(Code::kSessionEnded, "session ended: " + decided_->message);
  if (!self_ || state() == State::kStarting)
    return refuse(Code::kState, "the session is not ready; start it first");
  if (state() == State::kPaused)
    return refuse(Code::kState, "the session is paused; let it go on first");
  if (save_) return refuse(Code::kState, "the session is being saved already; wait for that");
  if (pausing_) return refuse(Code::kState, "the session is being paused; let it go on first");
  save_ = std::move(job);
  // Commands and calls may be asked for all the while; the guest hears of them afterwards.
  guest_->hold();
  stop_clocks(true);
  guest_->send_past(Type::kQuiesce,
                    wire::encode(wire::Quiesce{static_cast<uint32_t>(kQuiesceTime.count())}));
  set_save_deadline(kQuiesceTime + kQuiesceGrace);
}

void Session::set_save_deadline(std::chrono::milliseconds from_now) {
  save_->deadline.expires_after(from_now);
  save_->deadline.async_wait(
      [self = shared_from_this(), job = save_.get()](const boost::system::error_code& error) {
        // One that has been set anew has come too late to be told so.
        if (error || self->save_.get() != job || job->deadline.expiry() > Clock::now()) return;
        self->save_late();
      });
}

void Session::save_late() {
  if (save_->step == SaveJob::Step::kQuiesce || save_->step == SaveJob::Step::kWake)
    return violation("it did not answer QUIESCE or WAKE");
  fail(Error(Code::kSnapshot, "the machine's helper process did not save the machine in time",
             "save"));
}

// False: the frame has nothing to do with it.
bool Session::handle_quiesce_answer(const wire::Frame& frame) {
  if (save_->step != SaveJob::Step::kQuiesce) return false;
  if (frame.type == Type::kQuiesced) {
    handle_quiesced(frame);
    return true;
  }
  if (frame.type != Type::kError) return false;
  handle_quiesce_error(frame);
  return true;
}

void Session::handle_quiesced(const wire::Frame& frame) {
  const auto message = wire::decode<wire::Quiesced>(frame.payload);
  if (!message.value) return violation("its QUIESCED is wrong: " + message.error);
  save_machine();
}

// It goes on by itself.
void Session::handle_quiesce_error(const wire::Frame& frame) {
  const auto message = wire::decode<wire::Failure>(frame.payload);
  if (!message.value) return violation("its ERROR is wrong: " + message.error);
  const wire::Failure& failure = *message.value;
  save_->result = Error(Code::kSnapshot, "the guest could not be quiesced: " + words_of(failure),
                        "quiesce", failure.error);
  saved_guest_awake();
}

void Session::save_machine() {
  save_->step = SaveJob::Step::kSave;
  set_save_deadline(kSaveTime + std::chrono::seconds(config_.mem_mib / kSlowMibPerSecond));
  vmm_->request("save", {{"dir", save_->directory}, {"resume", true}}, [this](Result<json> answer) {
    if (!save_) return;
    machine_saved(answer ? saved_machine(answer.value()) : Result<SavedMachine>(answer.error()));
  });
}

void Session::machine_saved(Result<SavedMachine> saved) {
  save_->result = std::move(saved);
  if (save_->step == SaveJob::Step::kSave) machine_continued();
  end_save();
}

// The vCPUs run, whatever became of the save.
void Session::machine_continued() {
  if (!save_ || save_->step != SaveJob::Step::kSave) return;
  save_->step = SaveJob::Step::kWake;
  set_save_deadline(kWakeTime);
  send_wake(false);
}

// The session is as before, though its files may still be on their way to the disk.
void Session::saved_guest_awake() {
  save_->step = SaveJob::Step::kAwake;
  set_save_deadline(kSaveTime + std::chrono::seconds(config_.mem_mib / kSlowMibPerSecond));
  stop_clocks(false);
  guest_->release();
  if (save_) end_save();  // what was released may have ended the session
}

// Once the guest goes on and the files are written.
void Session::end_save() {
  if (save_->step != SaveJob::Step::kAwake || !save_->result) return;
  const auto job = std::exchange(save_, nullptr);
  job->deadline.cancel();
  job->answer.set_value(std::move(*job->result));
}

// Whatever a restored guest says before its answer is stale, from its first byte on.
void Session::expect_wake() {
  wake_nonce_ = random_hex(16);
  stale_bytes_ = 0;
}

Result<void> Session::note_identity(const json& answer) {
  auto identity = identity_from(answer);
  // Of no concern to a machine that is neither restored nor saved.
  if (!identity && !can_be_saved(config_)) return success();
  if (!identity) return identity.error();
  if (restore_) {
    BOOST_OUTCOME_TRYV(check_host(*restore_, identity.value(), boot_files()));
  }
  const std::lock_guard lock(mutex_);
  identity_ = std::move(identity.value());
  return success();
}

void Session::restore_failed(Error error) {
  if (error.code != Code::kNotFound) error.code = Code::kRestoreFailed;
  error.message = one_line(
      fmt::format("snapshot {}: it cannot be resumed: {}", restore_->directory, error.message));
  fail(std::move(error));
}

void Session::send_wake(bool restored) {
  const wire::Setup setup = setup_for(config_, {});
  wire::Wake wake;
  wake.restored = restored;
  if (!restored) expect_wake();
  wake.nonce = wake_nonce_;
  wake.realtime_ns = realtime_ns();
  wake.entropy = random_bytes(64);
  wake.hostname = config_.hostname;
  wake.shares = setup.shares;
  if (restored) {
    wake.machine_id = random_hex(16);
    wake.env = setup.env;
    wake.hold = !config_.resume_hook_frozen.empty();
  }
  const std::string payload = wire::encode(wake);
  if (payload.size() > wire::kMaxHostMessageBytes)
    return fail(Error(Code::kInvalidConfig,
                      "env: the environment of the snapshot and of the resume together is larger "
                      "than 4 MiB; shorten it",
                      "config"));
  guest_->send_past(Type::kWake, payload);
}

// Until the guest answers WAKE, what comes belongs to a connection that is over.
void Session::handle_waking(const wire::Frame& frame) {
  if (frame.stream == 0 && frame.type == Type::kHello) {
    const auto message = wire::decode<wire::Hello>(frame.payload);
    if (!message.value) return violation("its HELLO is wrong: " + message.error);
    if (message.value->nonce == wake_nonce_) {
      wake_nonce_.clear();
      return save_ ? saved_guest_awake() : restored_guest_awake(*message.value);
    }
  }
  stale_bytes_ += wire::kHeaderBytes + frame.payload.size();
  if (stale_bytes_ > kMostStaleBytes) return violation("it did not answer WAKE");
  if (frame.stream == 0 && frame.type == Type::kError) handle_wake_error(frame);
}

void Session::handle_wake_error(const wire::Frame& frame) {
  const auto message = wire::decode<wire::Failure>(frame.payload);
  if (!message.value || message.value->stage != "wake") return;  // an old one
  const wire::Failure& failure = *message.value;
  const std::string what = words_of(failure);
  if (save_)
    return fail(Error(Code::kGuest, "the guest could not go on after it was saved: " + what, "wake",
                      failure.error));
  fail(Error(Code::kRestoreFailed, "the guest could not be woken up: " + what, "wake",
             failure.error));
}

void Session::restored_guest_awake(const wire::Hello& hello) {
  hello_at_ = Clock::now();
  hello_guest_us_ = hello.now_us;
  add_timeline("agent hello", hello_at_);
  phase_ = GuestPhase::kReady;
  stage_ = "resume hook";
  const auto start = [this] {
    add_timeline("root ready");
    if (!config_.exec) return announce_ready();
    stage_ = "exec";
    start_main();
  };
  const auto after_thaw = [this, start] {
    if (config_.resume_hook.empty()) return start();
    run_hook(config_.resume_hook, "resume_hook", start);
  };
  if (config_.resume_hook_frozen.empty()) return after_thaw();
  run_hook(config_.resume_hook_frozen, "resume_hook_frozen", [this, after_thaw] {
    guest_->send(Type::kThaw, 0, 0, {});
    after_thaw();
  });
}

// Runs a shell line and goes on when it has ended well.
void Session::run_hook(const std::string& line, const char* name, std::function<void()> then) {
  ProcessSpec spec;
  spec.exec.argv = {line};
  spec.exec.shell = true;
  spec.out = OutputMode::kCapture;
  spec.err = OutputMode::kCapture;
  spec.capture_limit = kHookOutputBytes;
  auto created = Process::create(reactor_.io(), std::move(spec));
  if (!created) return fail(created.error());
  const auto& process = created.value();
  process->on_finished([this, process = process, name, then = std::move(then)] {
    if (decided_) return;
    if (const auto failure = process->failure()) return fail(*failure);
    const wire::Exit exit = *process->exit();
    if (exit.signalled || exit.status != 0)
      return fail(Error(Code::kRestoreFailed,
                        one_line(fmt::format("{}: the command ended with {} {}: {}", name,
                                             exit.signalled ? "signal" : "code", exit.status,
                                             process->captured().err.data)),
                        "resume hook"));
    then();
  });
  attach_stream(process);
}

}  // namespace vmette::core
