#include "core/session.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <atomic>

#include "core/ca_certs.h"
#include "core/disks.h"
#include "core/log.h"
#include "core/rootfs/resolve.h"
#include "core/snapshot/prepare.h"

namespace vmette::core {
namespace {

Result<void> wait_for(const Event& event, int64_t timeout_ms, const char* what) {
  if (event.wait(timeout_ms)) return success();
  return Error(Code::kDeadline,
               fmt::format("{} after {} ms; wait longer, or stop the session", what, timeout_ms));
}

uint64_t next_number() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

Session::Session(Reactor& reactor, Config config, MainStdio stdio, std::string ca_certs,
                 std::optional<Restore> restore)
    : reactor_(reactor),
      config_(std::move(config)),
      stdio_(stdio),
      ca_certs_(std::move(ca_certs)),
      restore_(std::move(restore)),
      number_(next_number()),
      ready_timer_(reactor.io()),
      session_timer_(reactor.io()),
      end_timer_(reactor.io()) {}

Result<std::shared_ptr<Session>> Session::create(Reactor& reactor, Config config,
                                                 std::optional<MainStdio> stdio) {
  std::optional<Restore> restore;
  if (!config.resume_snapshot.empty()) {
    auto saved = open_restore(config.resume_snapshot);
    if (!saved) return saved.error();
    auto whole = restored_config(std::move(config), saved.value());
    if (!whole) return whole.error();
    config = std::move(whole.value());
    restore = std::move(saved.value());
  }
  // Before the root is fetched, which may take long, and with what was fetched.
  BOOST_OUTCOME_TRYV(validate(config));
  auto ca_certs = read_ca_certs(config);
  if (!ca_certs) return ca_certs.error();
  const Progress progress = config.progress;
  auto whole = resolved(std::move(config), Effort::kAll);
  if (!whole) return whole.error();
  config = std::move(whole.value());
  BOOST_OUTCOME_TRYV(validate(config));
  settle_paths(config);
  if (can_be_saved(config)) {
    BOOST_OUTCOME_TRYV(prepare_for_saving(config, progress));
  }
  detect_fstypes(config);
  if (!stdio) {
    stdio.emplace();
    stdio->kind = config.capture_output ? MainStdio::Kind::kCapture : MainStdio::Kind::kDiscard;
  }
  std::shared_ptr<Session> session(new Session(reactor, std::move(config), *stdio,
                                               std::move(ca_certs.value()), std::move(restore)));
  if (const auto* root = std::get_if<RootfsBlock>(&session->config_.rootfs); root && root->packed)
    session->packed_root_ = UniqueFd(open(root->path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!session->ready_event_.valid() || !session->end_event_.valid())
    return os_error("a session: no descriptor for its state", EMFILE, "library");
  return session;
}

Result<void> Session::launch() {
  BOOST_OUTCOME_TRYV(leave_created());
  auto files = find_boot_files(config_);
  if (!files) {
    fail_launch(files.error());
    return files.error();
  }
  auto helper = spawn_helper(files.value().helper);
  if (!helper) {
    fail_launch(helper.error());
    return helper.error();
  }
  begin_with(std::move(files.value()), std::move(helper.value()));
  return success();
}

Result<void> Session::launch_with(BootFiles files, HelperProcess helper) {
  BOOST_OUTCOME_TRYV(leave_created());
  begin_with(std::move(files), std::move(helper));
  return success();
}

Result<void> Session::leave_created() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kCreated)
    return Error(Code::kState, "the session was started before; make a new one for each machine");
  state_ = State::kStarting;
  launched_at_ = Clock::now();
  return success();
}

void Session::begin_with(BootFiles files, HelperProcess helper) {
  {
    const std::lock_guard lock(mutex_);
    files_ = std::move(files);
  }
  add_timeline("helper spawned");
  auto owned = std::make_shared<HelperProcess>(std::move(helper));
  reactor_.post([self = shared_from_this(), owned] { self->begin(std::move(*owned)); });
}

void Session::fail_launch(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    state_ = State::kEnded;
    end_ = {EndKind::kError, 1, error.message};
    start_error_ = error;
  }
  ready_event_.set();
  end_event_.set();
}

Result<void> Session::wait_ready(int64_t timeout_ms) const {
  if (state() == State::kCreated)
    return Error(Code::kState, "the session was not started; launch it first");
  BOOST_OUTCOME_TRYV(wait_for(ready_event_, timeout_ms, "the session is not ready"));
  const std::lock_guard lock(mutex_);
  if (was_ready_) return success();
  if (start_error_) return *start_error_;
  return Error(Code::kSessionEnded, "the session ended before it was ready: " + end_.message);
}

Result<void> Session::wait(int64_t timeout_ms) const {
  if (state() == State::kCreated)
    return Error(Code::kState, "the session was not started; launch it first");
  return wait_for(end_event_, timeout_ms, "the session has not ended");
}

void Session::request_stop(uint32_t grace_ms) {
  if (state() == State::kCreated) return;  // a launch that comes later is not meant
  reactor_.post([self = shared_from_this(), grace_ms] {
    if (self->may_end())
      self->finish(EndKind::kStopped, 0, kStoppedMessage, Descent::kOrderly, grace_ms);
  });
}

void Session::request_kill() {
  if (state() == State::kCreated) return;
  reactor_.post([self = shared_from_this()] {
    if (!self->may_end()) return;
    self->finish(EndKind::kStopped, 0, kStoppedMessage, Descent::kAtOnce);
    self->teardown();
  });
}

bool Session::may_end() {
  // launch() may still be on its way to begin(), which then ends what it began.
  if (!self_) stopped_early_ = state() == State::kStarting;
  return self_ != nullptr;
}

void Session::resize(wire::WindowSize size) {
  reactor_.post([self = shared_from_this(), size] {
    if (const auto main = self->main_process()) main->resize(size);
  });
}

Result<std::shared_ptr<Process>> Session::exec(ProcessSpec spec) {
  if (spec.exec.argv.empty() || spec.exec.argv[0].empty())
    return Error(Code::kInvalidArgument, "exec: nothing to run; set a line or an argument vector",
                 "exec");
  for (const auto& [key, value] : spec.exec.env)
    if (!valid_env_key(key))
      return Error(Code::kInvalidArgument,
                   one_line(fmt::format(
                       "env: '{}' is not a variable name; use [A-Za-z_][A-Za-z0-9_]*", key)),
                   "exec");
  if (!spec.exec.cwd.empty() && spec.exec.cwd[0] != '/')
    return Error(
        Code::kInvalidArgument,
        one_line(fmt::format("cwd: '{}' is not absolute; start it with '/'", spec.exec.cwd)),
        "exec");
  if (wire::encode(spec.exec).size() > wire::kMaxHostMessageBytes)
    return Error(Code::kInvalidArgument,
                 "exec: arguments and environment are longer than 4 MiB; shorten them", "exec");
  BOOST_OUTCOME_TRYV(must_be_ready());
  if (log_enabled(LogLevel::kDebug)) log(LogLevel::kDebug, number_, "exec " + spec.exec.argv[0]);
  auto process = Process::create(reactor_.io(), std::move(spec));
  if (!process) return process.error();
  open_stream(process.value());
  return process.value();
}

Result<void> Session::must_be_ready() const {
  const State now = state();
  if (now == State::kReady || now == State::kPaused) return success();
  if (now == State::kEnded) return Error(Code::kSessionEnded, "session ended: " + end().message);
  return Error(Code::kState, "the session is not ready; start it first");
}

void Session::open_stream(std::shared_ptr<GuestStream> stream) {
  post([this, stream = std::move(stream)] {
    if (self_) return attach_stream(stream);
    const End ended = end();
    stream->detach(ended.kind == EndKind::kNone
                       ? Error(Code::kState, "the session is not ready; start it first")
                       : Error(Code::kSessionEnded, "session ended: " + ended.message));
  });
}

void Session::post(std::function<void()> work) {
  reactor_.post([self = shared_from_this(), work = std::move(work)] { work(); });
}

State Session::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

End Session::end() const {
  const std::lock_guard lock(mutex_);
  return end_;
}

MachineIdentity Session::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

std::string Session::cmdline() const {
  const std::lock_guard lock(mutex_);
  return cmdline_;
}

std::vector<TimelineEntry> Session::timeline() const {
  const std::lock_guard lock(mutex_);
  return timeline_;
}

BootFiles Session::boot_files() const {
  const std::lock_guard lock(mutex_);
  return files_;
}

std::string Session::console() const {
  const std::lock_guard lock(mutex_);
  return console_.size() <= kConsoleBytes ? console_
                                          : console_.substr(console_.size() - kConsoleBytes);
}

std::shared_ptr<Process> Session::main_process() const {
  const std::lock_guard lock(mutex_);
  return main_;
}

void Session::add_timeline(std::string name, Clock::time_point at) {
  log(LogLevel::kInfo, number_, name);
  const std::lock_guard lock(mutex_);
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(at - launched_at_);
  timeline_.push_back({std::move(name), static_cast<uint64_t>(since.count())});
}

uint64_t Session::elapsed_ms() const {
  const std::lock_guard lock(mutex_);
  const auto since = Clock::now() - launched_at_;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

}  // namespace vmette::core
