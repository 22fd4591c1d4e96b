#include "core/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <future>
#include <mutex>
#include <optional>
#include <utility>

#include "core/snapshot/snapshot.h"
#include "core/terminal.h"

namespace vmette::core {
namespace {

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};
constexpr size_t kChunk = size_t{64} * 1024;
// What a pipe with room takes without blocking.
constexpr size_t kPiece = PIPE_BUF;
constexpr int kSayMs = 1000;
// How soon the end of a save is seen.
constexpr int kSaveLookMs = 10;

bool is_stop_signal(int number) {
  return std::find(std::begin(kStopSignals), std::end(kStopSignals), number) !=
         std::end(kStopSignals);
}

// A login shell, the better one where the root has it.
Command interactive_shell() {
  return {{"[ -x /bin/bash ] && exec /bin/bash -l; exec /bin/sh -l"}, true, true};
}

// A line or two for people. Whoever does not read them must not hold the run up.
void say(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    pollfd room{STDERR_FILENO, POLLOUT, 0};
    if (poll(&room, 1, kSayMs) != 1) return;
    const ssize_t done = write(STDERR_FILENO, text.data() + at, text.size() - at);
    if (done <= 0) return;
    at += static_cast<size_t>(done);
  }
}

std::string root_text(const Config& config) {
  if (const auto* share = std::get_if<RootfsShare>(&config.rootfs))
    return share->path + (share->read_only ? " (read-only)" : " (writes go to memory)");
  if (const auto* block = std::get_if<RootfsBlock>(&config.rootfs))
    return fmt::format("{} ({})", block->path, block->fstype);
  return "built-in busybox";
}

std::string command_text(const Config& config) {
  if (!config.exec) return "interactive shell";
  std::string text;
  for (const std::string& arg : config.exec->argv) text += (text.empty() ? "" : " ") + arg;
  return text;
}

std::string banner(const Config& config, const Session& session) {
  const BootFiles files = session.boot_files();
  std::string text;
  const auto line = [&](const char* name, const std::string& value) {
    text += fmt::format("[vmette] {:<10} {}\n", name, one_line(value));
  };
  line("kernel", files.kernel);
  line("initramfs", files.initramfs);
  line("rootfs", root_text(session.config()));
  line("exec", command_text(config));
  line("machine", fmt::format("{} vCPU, {} MiB", config.vcpus, config.mem_mib));
  if (config.timeout_seconds != 0) line("timeout", fmt::format("{} s", config.timeout_seconds));
  return text;
}

// One run: pumps the caller's stdio until the session has ended. Everything happens on the calling
// thread, so that blocking writes to the caller's stdout hold up nobody else.
class Runner {
 public:
  Runner(const Config& config, std::shared_ptr<Session> session, bool tty, SignalPipe& signals)
      : config_(config), session_(std::move(session)), tty_(tty), signals_(signals) {}

  void loop();
  // Waits for it and heeds signals meanwhile.
  Result<void> wait_for(std::future<Result<void>> work);
  [[nodiscard]] int stop_signal() const { return stop_signal_; }
  void restore_terminal() { raw_.reset(); }

 private:
  enum Slot : size_t { kSignal, kEnd, kReady, kIn, kInGone, kOut, kErr, kSlots };

  [[nodiscard]] int end_fd() const;
  void fill(std::array<pollfd, kSlots>& items) const;
  void handle_signals();
  void attach();
  void pump_in();
  // From the command's stream to the caller's; closes it at its end.
  void pump_out(UniqueFd& from, int to);
  // Waits until the caller's stream has room. False when what is left is not wanted any more.
  bool wait_for_room(int to);

  const Config& config_;
  const std::shared_ptr<Session> session_;
  const bool tty_;
  SignalPipe& signals_;
  std::optional<RawMode> raw_;
  bool attached_ = false;
  int stop_signal_ = 0;
  UniqueFd in_;
  UniqueFd out_;
  UniqueFd err_;
  std::string pending_in_;  // read from the caller, not yet taken by the command
};

void Runner::fill(std::array<pollfd, kSlots>& items) const {
  items.fill({-1, 0, 0});
  items[kSignal] = {signals_.fd(), POLLIN, 0};
  // The end counts once the streams are drained.
  if (!out_ && !err_) items[kEnd] = {end_fd(), POLLIN, 0};
  if (!attached_) items[kReady] = {session_->ready_event().fd(), POLLIN, 0};
  if (in_ && pending_in_.empty()) items[kIn] = {STDIN_FILENO, POLLIN, 0};
  if (in_) items[kInGone] = {in_.get(), static_cast<short>(pending_in_.empty() ? 0 : POLLOUT), 0};
  if (out_) items[kOut] = {out_.get(), POLLIN, 0};
  if (err_) items[kErr] = {err_.get(), POLLIN, 0};
}

// Of what is waited for: a machine that will be saved goes on after its command.
int Runner::end_fd() const {
  if (config_.build_snapshot.empty()) return session_->end_event().fd();
  if (!attached_) return -1;
  const auto main = session_->main_process();
  if (main) return main->complete().fd();
  return config_.exec ? session_->end_event().fd() : session_->ready_event().fd();
}

void Runner::loop() {
  std::array<pollfd, kSlots> items;
  for (;;) {
    fill(items);
    if (poll(items.data(), items.size(), -1) < 0 && errno != EINTR) return;
    if (items[kSignal].revents != 0) handle_signals();
    if (items[kReady].revents != 0) attach();
    if (items[kIn].revents != 0 || items[kInGone].revents != 0) pump_in();
    if (items[kOut].revents != 0) pump_out(out_, STDOUT_FILENO);
    if (items[kErr].revents != 0) pump_out(err_, STDERR_FILENO);
    if (items[kEnd].revents != 0 && attached_) return;
  }
}

Result<void> Runner::wait_for(std::future<Result<void>> work) {
  while (work.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    pollfd item{signals_.fd(), POLLIN, 0};
    if (poll(&item, 1, kSaveLookMs) > 0) handle_signals();
  }
  return work.get();
}

void Runner::handle_signals() {
  for (int number = signals_.take(); number != 0; number = signals_.take()) {
    if (number == SIGWINCH && tty_) session_->resize(window_size(STDIN_FILENO));
    if (!is_stop_signal(number)) continue;
    // The second signal does not wait for an orderly end.
    if (stop_signal_ == 0) {
      stop_signal_ = number;
      session_->request_stop(0);
    } else {
      session_->request_kill();
    }
  }
}

void Runner::attach() {
  attached_ = true;
  const auto main = session_->main_process();
  if (!main || main->failure() || config_.capture_output) return;
  in_ = main->take_fd(wire::Channel::kStdin);
  out_ = main->take_fd(wire::Channel::kStdout);
  err_ = main->take_fd(wire::Channel::kStderr);
  if (in_) fcntl(in_.get(), F_SETFL, O_NONBLOCK);
  if (tty_) raw_.emplace(STDIN_FILENO);
}

void Runner::pump_in() {
  if (pending_in_.empty()) {
    pollfd gone{in_.get(), 0, 0};
    if (poll(&gone, 1, 0) > 0 && (gone.revents & POLLERR) != 0) return in_.reset();
    pending_in_.resize(kChunk);
    const ssize_t got = read(STDIN_FILENO, pending_in_.data(), kChunk);
    pending_in_.resize(got > 0 ? static_cast<size_t>(got) : 0);
    // A background job that reads the terminal gets EIO: no input, as at the end of a file.
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) return in_.reset();
  }
  const ssize_t done = write(in_.get(), pending_in_.data(), pending_in_.size());
  if (done > 0) pending_in_.erase(0, static_cast<size_t>(done));
  if (done < 0 && errno != EAGAIN && errno != EINTR) {
    pending_in_.clear();
    in_.reset();
  }
}

void Runner::pump_out(UniqueFd& from, int to) {
  std::array<char, kChunk> chunk;
  const ssize_t got = read(from.get(), chunk.data(), chunk.size());
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) return from.reset();
  for (size_t at = 0; at < static_cast<size_t>(got);) {
    if (!wait_for_room(to)) return from.reset();
    const size_t piece = std::min(kPiece, static_cast<size_t>(got) - at);
    const ssize_t done = write(to, chunk.data() + at, piece);
    if (done > 0) {
      at += static_cast<size_t>(done);
    } else if (errno != EINTR && errno != EAGAIN) {
      return from.reset();  // the command learns of it as SIGPIPE
    }
  }
}

bool Runner::wait_for_room(int to) {
  for (;;) {
    handle_signals();
    if (stop_signal_ != 0) return false;
    const EndKind end = session_->end().kind;
    const int end_fd = end == EndKind::kNone ? session_->end_event().fd() : -1;
    pollfd items[] = {{to, POLLOUT, 0}, {signals_.fd(), POLLIN, 0}, {end_fd, POLLIN, 0}};
    // After the timeout a reader that does not read is not waited for.
    poll(items, std::size(items), end == EndKind::kTimedOut ? 0 : -1);
    if (items[0].revents != 0) return true;
    if (end == EndKind::kTimedOut) return false;
  }
}

std::string status_line(const End& end, int stop_signal) {
  if (stop_signal != 0) return fmt::format("stopped by signal {}", stop_signal);
  return end.message;
}

std::mutex g_run_mutex;  // over a whole stop: none is for a later run
bool g_running = false;
// Somebody asked for a stop: it may come before there is a machine to be stopped.
bool g_stop_wanted = false;

struct RunningGuard {
  ~RunningGuard() {
    const std::lock_guard lock(g_run_mutex);
    g_running = g_stop_wanted = false;
  }
};

bool begin_run() {
  const std::lock_guard lock(g_run_mutex);
  return !std::exchange(g_running, true);
}

bool stop_wanted() {
  const std::lock_guard lock(g_run_mutex);
  return g_stop_wanted;
}

}  // namespace

RunOutput output_of(const Session& session) {
  RunOutput output;
  output.end = session.end();
  if (const auto main = session.main_process()) output.captured = main->captured();
  return output;
}

// Saves the machine if its command has ended well. Whatever else has happened tells the session's
// end.
Result<void> save_if_well(const std::shared_ptr<Session>& session, SnapshotDraft& draft) {
  if (session->state() != State::kReady) return success();
  const auto main = session->main_process();
  const auto exit = main ? main->exit() : std::optional<wire::Exit>(wire::Exit());
  if (!exit || exit->signalled || exit->status != 0) return success();
  auto saved = take_snapshot(*session, draft);
  if (!saved) return saved.error();
  return success();
}

void stop_run() {
  const std::lock_guard lock(g_run_mutex);
  if (!g_running) return;
  g_stop_wanted = true;
  pretend_signal(SIGTERM);
}

Result<RunOutput> run(const Config& config) {
  if (!begin_run())
    return Error(Code::kState, "another run() is under way in this process; use sessions instead");
  const RunningGuard guard;
  const StandardStreams standard_streams;  // before the first descriptor of the library's
  auto reactor = Reactor::get();
  if (!reactor) return reactor.error();

  Config effective = config;
  if (!effective.exec && effective.build_snapshot.empty()) effective.exec = interactive_shell();
  std::optional<SnapshotDraft> draft;
  if (!effective.build_snapshot.empty()) {
    auto made = SnapshotDraft::create(effective.build_snapshot);
    if (!made) return made.error();
    draft = std::move(made.value());
  }
  const bool tty =
      !config.capture_output && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  MainStdio stdio;
  stdio.kind = config.capture_output ? MainStdio::Kind::kCapture : MainStdio::Kind::kPipes;
  stdio.stdin_pipe = !config.capture_output;
  if (tty) stdio.tty = window_size(STDIN_FILENO);
  auto created = Session::create(*reactor.value(), std::move(effective), stdio);
  if (!created) return created.error();
  const auto session = created.value();

  SignalPipe signals;
  if (!signals.valid()) return os_error("run: no pipe for signals", EMFILE, "library");
  if (stop_wanted()) pretend_signal(SIGTERM);
  BOOST_OUTCOME_TRYV(session->launch());
  if (!config.quiet) say(banner(config, *session));
  Runner runner(config, session, tty, signals);
  runner.loop();
  runner.restore_terminal();
  Result<void> saved = success();
  if (draft && runner.stop_signal() == 0)
    saved = runner.wait_for(std::async(
        std::launch::async, [&session, &draft] { return save_if_well(session, *draft); }));
  if (!session->end_event().wait(0)) session->request_kill();
  BOOST_OUTCOME_TRYV(session->wait(-1));
  if (!saved && runner.stop_signal() == 0) return saved.error();

  RunOutput output = output_of(*session);
  if (draft && draft->committed())
    output.end = {EndKind::kExited, 0,
                  one_line(fmt::format("the machine was saved at {}", config.build_snapshot))};
  if (runner.stop_signal() != 0 && output.end.kind == EndKind::kStopped)
    output.end.exit_code = 128 + runner.stop_signal();
  // What failed is the caller's to tell, from the error or the output.
  if (output.end.kind == EndKind::kError) {
    if (const auto ready = session->wait_ready(0); !ready) return ready.error();
  } else if (!config.quiet) {
    say(fmt::format("[vmette] {} (exit {})\n", status_line(output.end, runner.stop_signal()),
                    output.end.exit_code));
  }
  return output;
}

}  // namespace vmette::core
