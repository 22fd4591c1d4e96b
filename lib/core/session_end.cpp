// The reactor's side of a session's end: whatever happens first decides, then everything goes.
#include <fmt/format.h>

#include <algorithm>

#include "core/log.h"
#include "core/session.h"

namespace vmette::core {
namespace {

constexpr size_t kTailBytes = 4096;
// What an orderly end may take beyond the grace of the commands.
constexpr std::chrono::milliseconds kPowerOffMs{2000};
// Between the end of the control stream and the hypervisor's own end, which says more.
constexpr std::chrono::milliseconds kLostMs{2000};
// With less than this a stock kernel may have no room for itself and its initramfs, and dies before
// it can print.
constexpr uint64_t kRoomyMib = 128;

// The last lines, cut at a line's start.
std::string tail_of(const std::string& console) {
  if (console.size() <= kTailBytes) return console;
  const size_t from = console.size() - kTailBytes;
  const size_t line = console.find('\n', from);
  return console.substr(line == std::string::npos ? from : line + 1);
}

std::string why_stopped(const VmmClient::Stopped& stopped) {
  if (stopped.reason == "reset")
    return "the guest's kernel panicked or rebooted; the console's last lines say more";
  if (stopped.reason == "poweroff") return "the guest powered itself off";
  std::string text =
      stopped.reason == "killed" ? "the hypervisor was killed" : "the hypervisor ended by itself";
  if (!stopped.message.empty()) text += ": " + one_line(stopped.message);
  return text;
}

}  // namespace

bool Session::writes_to_host() const {
  const auto writable = [](const auto& item) { return !item.read_only; };
  return std::any_of(config_.shares.begin(), config_.shares.end(), writable) ||
         std::any_of(config_.disks.begin(), config_.disks.end(), writable);
}

void Session::add_console(const std::string& bytes) {
  if (log_enabled(LogLevel::kDebug)) log(LogLevel::kDebug, number_, "console: " + bytes);
  const std::lock_guard lock(mutex_);
  console_ += bytes;
  if (console_.size() > 2 * kConsoleBytes) console_.erase(0, console_.size() - kConsoleBytes);
}

void Session::machine_stopped(const VmmClient::Stopped& stopped) {
  if (decided_) return teardown();
  const bool owes_a_result = config_.exec && !config_.exec->interactive;
  if (stopped.reason == "poweroff" && !owes_a_result) {
    return finish(EndKind::kStopped, 0, why_stopped(stopped), Descent::kAtOnce);
  }
  fail(Error(Code::kGuest, "the machine ended: " + why_stopped(stopped)));
}

void Session::guest_lost(const std::string& why) {
  if (decided_ && torn_down_) return;
  // It would say less.
  ready_timer_.cancel();
  end_timer_.expires_after(kLostMs);
  end_timer_.async_wait([self = shared_from_this(), why](const boost::system::error_code& error) {
    if (!error) self->fail(Error(Code::kGuest, one_line(why)));
  });
}

void Session::violation(const std::string& what) {
  fail(Error(Code::kGuest, one_line("the guest broke the protocol: " + what)));
}

void Session::ready_deadline_passed() {
  std::string message = fmt::format(
      "the machine was not ready after {} ms (stage: {}); raise ready_timeout_ms if it "
      "is only slow",
      config_.ready_timeout_ms, stage_);
  if (!emulated_ && stage_ == "kernel")
    message += ", or choose emulation if hardware virtualization does not really work here";
  if (stage_ == "kernel" && config_.mem_mib < kRoomyMib)
    message +=
        fmt::format(", or raise mem_mib: {} may be too little for the kernel", config_.mem_mib);
  fail(Error(Code::kStartFailed, std::move(message)));
}

void Session::fail(Error error) {
  if (!decided_) {
    if (error.stage.empty()) error.stage = stage_;
    error.elapsed_ms = elapsed_ms();
    if (error.console.empty()) error.console = tail_of(console());
    failure_ = error;
    log(LogLevel::kError, number_, error.message);
  }
  finish(EndKind::kError, 1, error.message, Descent::kAtOnce);
  teardown();
}

void Session::reactor_failed(const std::string& what) {
  const auto self = self_;
  const Error error(Code::kInternal, one_line("the library could not go on: " + what));
  if (vmm_) return fail(error);
  reactor_.stop_listening(this);
  fail_launch(error);
  self_.reset();
}

void Session::finish(EndKind kind, int32_t exit_code, std::string message, Descent descent,
                     uint32_t grace_ms) {
  if (decided_) return;
  decided_ = End{kind, exit_code, std::move(message)};
  log(LogLevel::kInfo, number_, decided_->message);
  ready_timer_.cancel();
  if (descent == Descent::kOrderly && phase_ == GuestPhase::kReady) {
    begin_shutdown(grace_ms);
  } else {
    teardown();
  }
}

void Session::begin_shutdown(uint32_t grace_ms) {
  phase_ = GuestPhase::kShutdown;
  // The agent hears of it in every step of a save, whose caller learns of the end.
  save_.reset();
  wake_nonce_.clear();
  // A paused guest would not hear it.
  if (state() == State::kPaused) vmm_->request("resume", nlohmann::json::object(), [](auto&&) {});
  guest_->send_past(wire::Type::kShutdown, wire::encode(wire::Shutdown{grace_ms}));
  end_timer_.expires_after(std::chrono::milliseconds(grace_ms) + kPowerOffMs);
  end_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->teardown();
  });
}

void Session::teardown() {
  if (torn_down_) return;
  torn_down_ = true;
  ready_timer_.cancel();
  session_timer_.cancel();
  end_timer_.cancel();
  save_.reset();
  if (guest_) guest_->close();
  const Error why(Code::kSessionEnded, "session ended: " + decided_->message);
  const auto streams = std::exchange(streams_, {});
  for (const auto& [id, stream] : streams) stream->detach(why);
  vmm_->end();
}

void Session::publish_end() {
  {
    const std::lock_guard lock(mutex_);
    state_ = State::kEnded;
    end_ = *decided_;
    if (!was_ready_ && failure_) {
      start_error_ = std::move(failure_);
      // Whatever a guest does wrong before it is ready, to the caller the start has failed.
      if (start_error_->code == Code::kGuest) start_error_->code = Code::kStartFailed;
    }
  }
  ready_event_.set();
  end_event_.set();
  reactor_.stop_listening(this);
  self_.reset();
}

}  // namespace vmette::core
