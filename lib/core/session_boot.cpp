// The reactor's side of a session's start: helper, hypervisor, HELLO, SETUP, READY, command.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/guest_failure.h"
#include "core/log.h"
#include "core/machine_plan.h"
#include "core/random.h"
#include "core/realtime.h"
#include "core/session.h"
#include "vmm/machine.h"

namespace vmette::core {
namespace {

using wire::Type;
using json = nlohmann::json;

constexpr size_t kMostGuestSteps = 32;
constexpr size_t kLongestStepName = 48;
// As docs/guest-protocol.md allows.
constexpr size_t kMostStreams = 4096;
constexpr size_t kEntropyBytes = 64;

}  // namespace

void Session::begin(HelperProcess helper) {
  self_ = shared_from_this();
  reactor_.listen_for_failure(this, [this](const std::string& what) { reactor_failed(what); });
  // The clients are closed before the session can be freed, so they may know it by address.
  vmm_ = std::make_shared<VmmClient>(
      reactor_.io(), std::move(helper),
      VmmClient::Callbacks{[this](UniqueFd fd) { attach_guest(std::move(fd)); },
                           [this](const std::string& bytes) { add_console(bytes); },
                           [this](const VmmClient::DiskError& error) { disk_failed(error); },
                           [this] { machine_continued(); },
                           [this](const VmmClient::Stopped& stopped) { machine_stopped(stopped); },
                           [this](Error error) { fail(std::move(error)); },
                           [this](const std::string&) { publish_end(); }});
  vmm_->start();
  if (stopped_early_) return finish(EndKind::kStopped, 0, kStoppedMessage, Descent::kAtOnce);
  arm_deadlines();
  create_machine();
}

void Session::arm_deadlines() {
  ready_timer_.expires_after(std::chrono::milliseconds(config_.ready_timeout_ms));
  ready_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->ready_deadline_passed();
  });
  if (config_.timeout_seconds == 0) return;
  Clock::time_point launched;
  {
    const std::lock_guard lock(mutex_);
    launched = launched_at_;
  }
  arm_session_timeout(launched + std::chrono::seconds(config_.timeout_seconds));
}

void Session::arm_session_timeout(Clock::time_point at) {
  session_timer_.expires_at(at);
  session_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    self->finish(EndKind::kTimedOut, 124,
                 fmt::format("the timeout of {} s passed", self->config_.timeout_seconds),
                 Descent::kAtOnce);
    self->teardown();
  });
}

void Session::create_machine() {
  stage_ = "create";
  const vmm::Machine machine = machine_for(config_, boot_files(), restore_ ? &*restore_ : nullptr);
  if (restore_) expect_wake();
  if (const auto wrong = vmm::validate(machine))
    return fail(Error(Code::kInvalidConfig, one_line(*wrong), "create"));
  vmm_->request("create", vmm::to_json(machine), [this](Result<json> answer) {
    if (!answer) return restore_ ? restore_failed(answer.error()) : fail(answer.error());
    machine_created(answer.value());
  });
}

void Session::machine_created(const json& answer) {
  {
    const std::lock_guard lock(mutex_);
    cmdline_ = text_field(answer, "cmdline");
  }
  emulated_ = text_field(answer, "accel") != "kvm";
  note_shares(answer);
  if (const auto known = note_identity(answer); !known) return fail(known.error());
  stage_ = "start";
  vmm_->request("start", json::object(), [this](const Result<json>& answer) {
    if (!answer) return restore_ ? restore_failed(answer.error()) : fail(answer.error());
    add_timeline("hypervisor started");
    if (restore_) {
      stage_ = "wake";
      return send_wake(true);
    }
    stage_ = phase_ == GuestPhase::kHello ? "kernel" : stage_;
  });
}

// How each share reaches the guest, and why not otherwise.
void Session::note_shares(const json& answer) {
  const auto list = answer.find("shares");
  if (list == answer.end() || !list->is_array()) return;
  for (const json& share : *list) {
    if (!share.is_object()) continue;
    const std::string tag = text_field(share, "tag");
    const std::string reason = text_field(share, "reason");
    const bool virtiofs = text_field(share, "transport") == "virtiofs";
    if (virtiofs) virtiofs_tags_.insert(tag);
    add_timeline(one_line(fmt::format("share {}: {}{}", tag, virtiofs ? "virtio-fs" : "9p",
                                      reason.empty() ? "" : " (" + reason + ")")));
  }
}

// The guest sees an error of its device; who reads the log learns why.
void Session::disk_failed(const VmmClient::DiskError& error) {
  log(LogLevel::kError, number_,
      error.full
          ? fmt::format("disk {}: the host's disk is full, the guest's write failed",
                        one_line(error.serial))
          : fmt::format("disk {}: input/output error: {}", one_line(error.serial), error.reason));
}

void Session::attach_guest(UniqueFd stream) {
  if (guest_)
    return fail(Error(Code::kStartFailed,
                      "the machine's helper process announced a second control stream", "helper"));
  guest_ = std::make_shared<GuestClient>(
      reactor_.io(), std::move(stream),
      GuestClient::Callbacks{[this](const wire::Frame& frame) { handle_frame(frame); },
                             [this](const std::string& why) { guest_lost(why); },
                             [this](const std::string& why) { violation(why); },
                             [this] {
                               for (const auto& [id, stream] : streams_) stream->resume();
                             }});
  guest_->start();
}

void Session::handle_frame(const wire::Frame& frame) {
  if (!wake_nonce_.empty()) return handle_waking(frame);
  if (phase_ == GuestPhase::kHello) {
    if (frame.type != Type::kHello || frame.stream != 0)
      return violation("its first frame is not HELLO");
    return handle_hello(frame);
  }
  if (frame.stream == 0) {
    if (frame.type == Type::kReady && phase_ == GuestPhase::kSetup) return handle_ready(frame);
    if (frame.type == Type::kError && phase_ == GuestPhase::kSetup)
      return handle_setup_error(frame);
    if (save_ && phase_ == GuestPhase::kReady && handle_quiesce_answer(frame)) return;
    // SHUTDOWN has crossed the answers of a save.
    const bool late =
        frame.type == Type::kQuiesced || frame.type == Type::kHello || frame.type == Type::kError;
    if (late && phase_ == GuestPhase::kShutdown) return;
    if (frame.type == Type::kBye && phase_ == GuestPhase::kShutdown) return teardown();
    return violation(
        fmt::format("it sent {} out of order", wire::type_name(static_cast<uint16_t>(frame.type))));
  }
  const auto found = streams_.find(frame.stream);
  if (found == streams_.end())
    return violation(fmt::format("it sent {} on stream {}, which is not open",
                                 wire::type_name(static_cast<uint16_t>(frame.type)), frame.stream));
  const auto stream = found->second;  // its callbacks may take it off the map
  if (const std::string broken = stream->handle(frame); !broken.empty()) return violation(broken);
  if (stream->over()) streams_.erase(frame.stream);
}

void Session::handle_hello(const wire::Frame& frame) {
  const auto message = wire::decode<wire::Hello>(frame.payload);
  if (!message.value) return violation("its HELLO is wrong: " + message.error);
  const wire::Hello& hello = *message.value;
  hello_at_ = Clock::now();
  hello_guest_us_ = hello.now_us;
  add_guest_step("kernel up", hello.start_us);
  add_timeline("agent hello", hello_at_);
  const uint32_t generation = std::min(wire::kGeneration, hello.generation);
  if (generation < wire::kOldestGeneration || generation < hello.oldest_generation)
    return fail(Error(Code::kGuest,
                      fmt::format("the guest agent speaks protocol generations {} to {}, this "
                                  "library {} to {}; use the boot assets of this version",
                                  hello.oldest_generation, hello.generation,
                                  wire::kOldestGeneration, wire::kGeneration)));
  send_setup(generation);
}

void Session::send_setup(uint32_t generation) {
  wire::Setup setup = setup_for(config_, virtiofs_tags_);
  setup.generation = generation;
  setup.realtime_ns = realtime_ns();
  setup.entropy = random_bytes(kEntropyBytes);
  setup.ca_certs = ca_certs_;
  std::string payload = wire::encode(setup);
  if (payload.size() > wire::kMaxHostMessageBytes)
    return fail(Error(
        Code::kInvalidConfig,
        "env: the environment, with shares and CA certificates, is larger than 4 MiB; shorten it",
        "config"));
  phase_ = GuestPhase::kSetup;
  stage_ = "root";
  guest_->send(Type::kSetup, 0, 0, payload);
}

void Session::handle_setup_error(const wire::Frame& frame) {
  const auto message = wire::decode<wire::Failure>(frame.payload);
  if (!message.value) return violation("its ERROR is wrong: " + message.error);
  const wire::Failure& failure = *message.value;
  Error error(Code::kStartFailed, "the guest could not set itself up: " + words_of(failure),
              one_line(failure.stage), failure.error);
  fail(std::move(error));
}

// Times of the guest are its own claims: they are kept between the last entry and now.
void Session::add_guest_step(const std::string& name, uint64_t guest_us) {
  constexpr uint64_t kLongestUs = uint64_t{3600} * 1'000'000;
  const auto claimed = std::chrono::microseconds(std::min(guest_us, kLongestUs)) -
                       std::chrono::microseconds(std::min(hello_guest_us_, kLongestUs));
  Clock::time_point earliest;
  {
    const std::lock_guard lock(mutex_);
    earliest =
        launched_at_ + std::chrono::microseconds(timeline_.empty() ? 0 : timeline_.back().at_us);
  }
  add_timeline(one_line(name).substr(0, kLongestStepName),
               std::clamp(hello_at_ + claimed, earliest, std::max(earliest, Clock::now())));
}

void Session::handle_ready(const wire::Frame& frame) {
  const auto message = wire::decode<wire::Ready>(frame.payload);
  if (!message.value) return violation("its READY is wrong: " + message.error);
  if (message.value->steps.size() > kMostGuestSteps)
    return violation("its READY has too many steps");
  for (const wire::Step& step : message.value->steps) add_guest_step(step.name, step.at_us);
  add_timeline("root ready");
  phase_ = GuestPhase::kReady;
  if (config_.exec) {
    stage_ = "exec";
    return start_main();
  }
  announce_ready();
}

void Session::start_main() {
  const auto output = [&] {
    switch (stdio_.kind) {
      case MainStdio::Kind::kCapture:
        return OutputMode::kCapture;
      case MainStdio::Kind::kPipes:
        return OutputMode::kPipe;
      case MainStdio::Kind::kDiscard:
        break;
    }
    return OutputMode::kDiscard;
  }();
  ProcessSpec spec;
  spec.exec.argv = config_.exec->argv;
  spec.exec.shell = config_.exec->shell;
  spec.exec.tty = stdio_.tty;
  spec.stdin_pipe = stdio_.stdin_pipe;
  spec.out = output;
  spec.err = output;
  spec.capture_limit = config_.capture_limit;
  if (wire::encode(spec.exec).size() > wire::kMaxHostMessageBytes)
    return fail(Error(Code::kInvalidConfig, "exec: the command is longer than 4 MiB; shorten it",
                      "config"));
  auto created = Process::create(reactor_.io(), std::move(spec));
  if (!created) return fail(created.error());
  const auto& process = created.value();
  {
    const std::lock_guard lock(mutex_);
    main_ = process;
  }
  process->on_started([this] { announce_ready(); });
  process->on_finished([this] { main_finished(); });
  attach_stream(process);
}

void Session::attach_stream(std::shared_ptr<GuestStream> stream) {
  if (decided_ || phase_ != GuestPhase::kReady)
    return stream->detach(decided_
                              ? Error(Code::kSessionEnded, "session ended: " + decided_->message)
                              : Error(Code::kState, "the session is not ready; start it first"));
  if (streams_.size() >= kMostStreams)
    return stream->detach(Error(
        Code::kState,
        fmt::format("{} commands and calls are open in the session; wait for some", kMostStreams)));
  const uint64_t id = next_stream_++;
  streams_.emplace(id, stream);
  if (state() == State::kPaused) stream->pause(true);
  stream->open([this, id](Type type, uint16_t flags, std::string_view payload) {
    guest_->send(type, flags, id, payload);
    return !guest_->behind();
  });
}

void Session::announce_ready() {
  if (main_process()) add_timeline("command started");
  ready_timer_.cancel();
  {
    const std::lock_guard lock(mutex_);
    state_ = State::kReady;
    was_ready_ = true;
  }
  ready_event_.set();
}

void Session::main_finished() {
  const auto main = main_process();
  if (const auto failure = main->failure()) return fail(*failure);
  const wire::Exit exit = *main->exit();
  // Whoever builds a snapshot saves the machine now, and ends it then. Programs that the command
  // has left may hold its streams for ever.
  if (!config_.build_snapshot.empty() && !exit.signalled && exit.status == 0)
    return main->end_pipes();
  std::string message = exit.signalled
                            ? fmt::format("the command was killed by signal {}{}", exit.status,
                                          exit.oom ? " because the guest ran out of memory" : "")
                            : fmt::format("the command exited with code {}", exit.status);
  finish(EndKind::kExited, exit.signalled ? 128 + exit.status : exit.status, std::move(message),
         writes_to_host() ? Descent::kOrderly : Descent::kAtOnce);
}

}  // namespace vmette::core
