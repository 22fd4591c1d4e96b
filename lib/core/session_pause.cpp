// Stopping a session's vCPUs for a while. Time that passes meanwhile counts for no timeout.
#include <fmt/format.h>

#include "core/session.h"

namespace vmette::core {
namespace {

// A helper that answers nothing is broken; its machine goes with it.
constexpr std::chrono::seconds kAnswerDeadline{10};

}  // namespace

Result<void> Session::pause() {
  return change_pause(true);
}

Result<void> Session::unpause() {
  return change_pause(false);
}

Result<void> Session::change_pause(bool on) {
  const auto answer = std::make_shared<std::promise<Result<void>>>();
  auto future = answer->get_future();
  post([this, on, answer] { begin_pause(on, answer); });
  if (future.wait_for(kAnswerDeadline) != std::future_status::ready) {
    request_kill();
    return Error(Code::kGuest, "the machine's helper did not answer; the session is ended",
                 "pause");
  }
  try {
    return future.get();
  } catch (const std::future_error&) {
    // The session ended and dropped the request.
    (void)end_event_.wait(-1);
    return Error(Code::kSessionEnded, "session ended: " + end().message, "pause");
  }
}

void Session::begin_pause(bool on, const PauseAnswer& answer) {
  const State wanted = on ? State::kReady : State::kPaused;
  if (save_)
    return answer->set_value(
        Error(Code::kState, "the session is being saved; wait for the snapshot", "pause"));
  if (!self_ || decided_ || state() != wanted)
    return answer->set_value(Error(
        Code::kState,
        on ? "the session is not ready, or paused already" : "the session is not paused", "pause"));
  pausing_ = true;
  vmm_->request(on ? "pause" : "resume", nlohmann::json::object(),
                [this, on, answer](const Result<nlohmann::json>& done) {
                  pausing_ = false;
                  if (!done) return answer->set_value(done.error());
                  pause_done(on);
                  answer->set_value(success());
                });
}

void Session::pause_done(bool on) {
  {
    const std::lock_guard lock(mutex_);
    state_ = on ? State::kPaused : State::kReady;
  }
  stop_clocks(on);
}

// Of the streams and of the session.
void Session::stop_clocks(bool on) {
  for (const auto& [id, stream] : streams_) stream->pause(on);
  if (config_.timeout_seconds == 0) return;
  if (on) {
    paused_left_ = session_timer_.expiry() - Clock::now();
    session_timer_.cancel();
  } else if (paused_left_) {
    arm_session_timeout(Clock::now() + *std::exchange(paused_left_, std::nullopt));
  }
}

}  // namespace vmette::core
