#include "vmm/qemu/supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <exception>
#include <system_error>
#include <utility>

#include "base/base64.h"
#include "vmm/machine.h"
#include "vmm/qemu/command_line.h"
#include "vmm/qemu/confinement.h"
#include "vmm/qemu/disk_check.h"
#include "vmm/qemu/failure.h"
#include "vmm/qemu/kernel_check.h"
#include "vmm/qemu/kernel_cmdline.h"
#include "vmm/qemu/program.h"

namespace vmette::vmm {
namespace {

using json = nlohmann::json;
using std::chrono::milliseconds;

constexpr size_t kMaxRequests = 16;
constexpr size_t kMaxQueuedBytes = size_t{256} * 1024;
constexpr size_t kConsoleEventBytes = size_t{32} * 1024;
// A guest that prints byte by byte wakes this process at most once in this time.
constexpr milliseconds kConsoleGather{5};
// Between the end of a file server and that of the hypervisor, when the latter is the cause.
constexpr milliseconds kLossGrace{500};

Failure bad_request(const std::string& message) {
  return {"bad_request", message};
}

std::string string_field(const json& body, const char* key) {
  const auto at = body.find(key);
  if (at == body.end()) return {};
  if (!at->is_string()) throw bad_request(fmt::format("{}: must be a string", key));
  return at->get<std::string>();
}

json share_kinds() {
  try {
    find_virtiofsd();
    return {"virtiofs", "9p"};
  } catch (const Failure&) {
    return {"9p"};
  }
}

bool is_forced_stop(const Supervisor::Request& request) {
  return request.op == "stop" && request.body.value("force", json()) == true;
}

}  // namespace

Supervisor::Supervisor(UniqueFd socket, const TickSample& start)
    : channel_(std::move(socket)), start_(start) {}

void Supervisor::run() {
  try {
    while (!done_) {
      turn();
      send_console(false);
      send_disk_troubles();
      serve();
    }
  } catch (const std::exception& error) {
    give_up("helper", error.what());
  }
  hypervisor_.reset();
}

// One poll() and what it says.
void Supervisor::turn() {
  const Clock::time_point now = Clock::now();
  const bool gathering = hypervisor_ && hypervisor_->console_fd() >= 0 && now < console_due_;
  int timeout_ms = -1;
  if (gathering)
    timeout_ms = static_cast<int>(std::chrono::ceil<milliseconds>(console_due_ - now).count());
  if (loss_due_) {
    if (now >= *loss_due_) return end_lost_machine();
    const auto left = std::chrono::ceil<milliseconds>(*loss_due_ - now).count();
    if (timeout_ms < 0 || left < timeout_ms) timeout_ms = static_cast<int>(left);
  }

  const std::vector<Watch> watched = watches(gathering);
  std::vector<pollfd> polls;
  polls.reserve(watched.size());
  for (const Watch& watch : watched) polls.push_back(watch.poll);
  if (poll(polls.data(), polls.size(), timeout_ms) < 0) {
    if (errno == EINTR) return;
    throw std::system_error(errno, std::generic_category(), "poll");
  }
  for (size_t i = 0; i < watched.size() && !done_; ++i)
    if (polls[i].revents != 0) watched[i].ready(polls[i].revents);
}

std::vector<Supervisor::Watch> Supervisor::watches(bool gathering) {
  std::vector<Watch> list;
  const auto add = [&list](int fd, int events, std::function<void(short)> ready) {
    if (fd >= 0) list.push_back({{fd, static_cast<short>(events), 0}, std::move(ready)});
  };
  // Without POLLIN the hang-up is still seen.
  add(channel_.fd(), (readable_ ? 0 : POLLIN) | (channel_.wants_write() ? POLLOUT : 0),
      [this](short events) { on_socket(events); });
  add(parent_.fd.get(), POLLIN, [this](short) { done_ = true; });
  if (version_query_)
    add(version_query_->fd(), POLLIN, [this](short) { version_query_->on_output(); });
  if (scratch_) add(scratch_->output_fd(), POLLIN, [this](short) { scratch_->on_output(); });
  if (file_servers_)
    for (const auto& server : file_servers_->servers())
      if (server) add(server->stderr_fd(), POLLIN, [&server](short) { server->on_stderr(); });
  if (hypervisor_) {
    Qmp& qmp = hypervisor_->qmp();
    if (qmp.open())
      add(qmp.fd(), POLLIN | (qmp.wants_write() ? POLLOUT : 0), [&qmp](short) { qmp.on_ready(); });
    add(hypervisor_->stderr_fd(), POLLIN, [this](short) { hypervisor_->on_stderr(); });
  }
  if (hypervisor_ && !gathering)
    add(hypervisor_->console_fd(), POLLIN, [this](short) {
      hypervisor_->on_console();
      console_due_ = Clock::now() + kConsoleGather;
    });
  // Last: what has ended is let go, and nothing that stands above may be called after that.
  add(signals_.fd(), POLLIN, [this](short) { on_signals(); });
  return list;
}

void Supervisor::on_socket(short events) {
  if (!channel_.flush()) done_ = true;
  if ((events & POLLIN) != 0)
    readable_ = true;
  else if ((events & (POLLHUP | POLLERR)) != 0)
    done_ = true;
}

bool Supervisor::has_room() const {
  return requests_.size() < kMaxRequests && channel_.queued_bytes() <= kMaxQueuedBytes;
}

void Supervisor::take_lines() {
  std::string line;
  while (!done_ && readable_ && has_room()) {
    switch (channel_.receive(line)) {
      case LineChannel::Status::kLine:
        take_line(line);
        break;
      case LineChannel::Status::kMore:
        readable_ = false;
        break;
      case LineChannel::Status::kBroken:
        return give_up("request", channel_.error());
      case LineChannel::Status::kClosed:
        done_ = true;
        break;
    }
  }
}

void Supervisor::on_signals() {
  while (const auto number = signals_.next()) {
    if (*number == SIGTERM) return give_up("helper", "the helper was told to end (SIGTERM)");
  }
  check_children();
}

void Supervisor::take_line(const std::string& line) {
  json body = json::parse(line, nullptr, false);
  if (!body.is_object()) return refuse_as(nullptr, "", bad_request("the line is no JSON object"));
  json id = body.value("id", json());
  if (!id.is_number_unsigned())
    return refuse_as(nullptr, "", bad_request("id: must be a whole number"));
  const auto op = body.find("op");
  if (op == body.end() || !op->is_string())
    return refuse_as(id, "", bad_request("op: must be a string"));
  Request request{std::move(id), op->get<std::string>(), std::move(body)};
  // At once, whatever is still being answered.
  if (hypervisor_ && is_forced_stop(request)) hypervisor_->kill();
  if (scratch_ && is_forced_stop(request)) scratch_->kill();
  requests_.push_back(std::move(request));
}

void Supervisor::serve() {
  while (!done_) {
    take_lines();
    if (done_ || active_ || requests_.empty() || channel_.queued_bytes() > kMaxQueuedBytes) return;
    active_ = std::move(requests_.front());
    requests_.pop_front();
    try {
      handle(Request(*active_));
    } catch (const Failure& failure) {
      refuse(failure);
    }
  }
}

void Supervisor::handle(const Request& request) {
  if (request.op == "create") return create(request);
  if (request.op == "capabilities") return capabilities(request);
  if (request.op == "start") return start();
  if (request.op == "pause") return pause();
  if (request.op == "resume") return resume();
  if (request.op == "stop") return stop(request);
  if (request.op == "console") {
    if (!hypervisor_) throw bad_request("console: there is no machine");
    return answer({{"tail", base64_encode(hypervisor_->log().tail())}});
  }
  throw bad_request(fmt::format("op: \"{}\" is unknown", request.op));
}

void Supervisor::capabilities(const Request& request) {
  const std::string arch_name = string_field(request.body, "arch");
  const std::string accel_name = string_field(request.body, "accel");
  const auto arch = arch_name.empty() ? host_arch() : arch_named(arch_name);
  const auto accel = accel_name.empty() ? Accel::kAuto : accel_named(accel_name);
  if (!arch) throw bad_request("arch: must be x86_64 or aarch64");
  if (!accel) throw bad_request("accel: must be auto, kvm or tcg");
  const std::string program = find_qemu(string_field(request.body, "qemu"), *arch);
  const AccelChoice choice = choose_accel(*accel, *arch);
  active_->body = {{"hypervisor", "qemu"},
                   {"program", program},
                   {"arch", name_of(*arch)},
                   {"accel", name_of(choice.accel)},
                   {"accel_reason", choice.reason},
                   {"snapshot", false},
                   {"snapshot_reason", "This version does not save machines."},
                   {"share_kinds", share_kinds()},
                   {"device_limit", kDeviceLimit}};
  version_query_.emplace(program);
}

void Supervisor::create(const Request& request) {
  if (state_ != State::kNone) throw bad_request("create: this helper has had its machine");
  const std::string version = string_field(request.body, "version");
  if (!version.empty() && version != VMETTE_VERSION)
    throw Failure("version_mismatch",
                  fmt::format("version: the library is {}, the helper {}; install one matched set",
                              version, VMETTE_VERSION));
  machine_ = {};
  if (auto problem = from_json(request.body, machine_)) throw bad_request(*problem);
  const Machine& machine = machine_;
  parent_ = watch_parent(machine.parent_pid);
  if (parent_.gone) {
    done_ = true;
    return;
  }
  check_kernel(machine.kernel, machine.arch);
  if (!machine.initramfs.empty()) check_initramfs(machine.initramfs);
  plan_.program = find_qemu(machine.qemu, machine.arch);
  plan_.accel = choose_accel(machine.accel, machine.arch);
  disk_claims_.clear();
  disk_claims_ = claim_disks(machine.disks);
  if (!machine.scratch) return start_hypervisor({});
  scratch_.emplace(*machine.scratch);
  state_ = State::kPreparing;
  if (std::ranges::any_of(requests_, is_forced_stop)) scratch_->kill();
}

// Goes on with `create` once mke2fs has ended.
void Supervisor::check_scratch() {
  if (!scratch_) return;
  try {
    auto file = scratch_->finish();
    if (!file) return;
    scratch_.reset();
    state_ = State::kNone;
    start_hypervisor(std::move(*file));
  } catch (const Failure& failure) {
    scratch_.reset();
    const bool stopped = std::ranges::any_of(requests_, is_forced_stop);
    state_ = stopped ? State::kEnded : State::kNone;
    refuse(stopped ? Failure("hypervisor", "the machine was stopped before QEMU was started")
                   : failure);
  }
}

void Supervisor::start_hypervisor(UniqueFd scratch) {
  const Machine& machine = machine_;
  // The counter is measured over some milliseconds, in which mke2fs has done its work.
  std::optional<uint32_t> tsc_khz;
  if (plan_.accel.accel == Accel::kTcg && machine.arch == Arch::kX86_64)
    tsc_khz = host_tick_khz(start_);
  plan_.cmdline = kernel_cmdline(machine.cmdline, machine.arch, plan_.accel.accel, tsc_khz);
  Attachments attached;
  attached.scratch = std::move(scratch);
  if (!machine.shares.empty())
    if (const int error = forbid_special_files(); error != 0)
      throw Failure("hypervisor",
                    fmt::format("shares: the system calls that make setuid files and device nodes "
                                "cannot be forbidden (seccomp): {}",
                                std::generic_category().message(error)));
  file_servers_.emplace(machine.shares);
  attached.share_sockets = file_servers_->take_sockets();
  hypervisor_.emplace(machine, plan_.program, plan_.accel.accel, plan_.cmdline, attached);
  state_ = State::kCreating;
  // A forced stop that came before there was anything to kill.
  if (std::ranges::any_of(requests_, is_forced_stop)) hypervisor_->kill();
  hypervisor_->qmp().execute("qmp_capabilities", [this](const std::string& error, const json&) {
    if (error.empty()) return created();
    hypervisor_->kill();
    refuse(Failure("hypervisor", error));
  });
}

void Supervisor::created() {
  state_ = State::kCreated;
  std::vector<UniqueFd> fds;
  fds.push_back(hypervisor_->take_control());
  send({{"event", "channel"}}, std::move(fds));
  answer({{"cmdline", plan_.cmdline},
          {"accel", name_of(plan_.accel.accel)},
          {"accel_reason", plan_.accel.reason},
          {"shares", share_list()},
          {"pid", hypervisor_->pid()}});
}

json Supervisor::share_list() const {
  json list = json::array();
  for (size_t i = 0; i < machine_.shares.size(); ++i) {
    const ShareChoice& choice = file_servers_->choices()[i];
    list.push_back({{"tag", machine_.shares[i].tag},
                    {"transport", name_of(choice.transport)},
                    {"reason", choice.reason}});
  }
  return list;
}

void Supervisor::start() {
  if (state_ != State::kCreated) throw bad_request("start: there is no machine that waits for it");
  command("cont", State::kRunning);
}

void Supervisor::pause() {
  if (state_ != State::kRunning) throw bad_request("pause: the machine does not run");
  command("stop", State::kPaused);
}

void Supervisor::resume() {
  if (state_ != State::kPaused) throw bad_request("resume: the machine is not paused");
  command("cont", State::kRunning);
}

void Supervisor::stop(const Request& request) {
  const json force = request.body.value("force", json(false));
  if (!force.is_boolean()) throw bad_request("force: must be true or false");
  if (state_ == State::kNone) throw bad_request("stop: there is no machine");
  // take_line() has killed already.
  if (state_ == State::kEnded || force == true) return answer(json::object());
  if (state_ == State::kPaused)
    throw bad_request("stop: the machine is paused; resume it first, or stop with force");
  // Before its first instruction a machine cannot see its power button.
  command(state_ == State::kCreated ? "quit" : "system_powerdown", state_);
}

void Supervisor::command(const char* qmp_command, State next) {
  hypervisor_->qmp().execute(qmp_command, [this, next](const std::string& error, const json&) {
    if (!error.empty()) return refuse(Failure("hypervisor", error));
    state_ = next;
    answer(json::object());
  });
}

void Supervisor::check_children() {
  if (version_query_) {
    if (const auto version = version_query_->finish()) {
      version_query_.reset();
      json about = std::move(active_->body);
      about["version"] = *version;
      answer(about);
    }
  }
  check_scratch();
  if (!hypervisor_ || state_ == State::kEnded) return;
  if (const auto ending = hypervisor_->finish()) return machine_ended(*ending);
  check_file_servers();
}

// A machine cannot go on without one: whoever touches the share would wait for ever. But a file
// server also ends because its machine does, and may be the first to be seen.
void Supervisor::check_file_servers() {
  const auto loss = file_servers_->check();
  if (!loss || hypervisor_->is_ending()) return;
  loss_ = loss->text;
  loss_due_ = Clock::now() + (loss->killed ? milliseconds(0) : kLossGrace);
}

void Supervisor::end_lost_machine() {
  loss_due_.reset();
  if (state_ == State::kEnded || hypervisor_->is_ending()) return;
  hypervisor_->blame(loss_);
  hypervisor_->kill();
}

void Supervisor::machine_ended(const Ending& ending) {
  const State before = std::exchange(state_, State::kEnded);
  loss_due_.reset();
  file_servers_.reset();
  disk_claims_.clear();
  const bool waited_for = active_ && !version_query_;
  if (waited_for && active_->op == "stop") {
    answer(json::object());
  } else if (waited_for) {
    std::string text = fmt::format("QEMU {}", ending.status);
    if (!ending.message.empty()) text += ": " + ending.message;
    const std::string in_use = disk_in_use(ending.message, machine_.disks);
    refuse(in_use.empty() ? Failure("hypervisor", text) : Failure("disk_in_use", in_use));
  }
  // A machine whose `create` failed was never there.
  if (before == State::kCreating) return;
  send_console(true);
  send({{"event", "stopped"},
        {"reason", ending.reason},
        {"status", ending.status},
        {"message", ending.message}});
}

void Supervisor::answer(const json& ok) {
  if (!active_) return;
  send({{"id", active_->id}, {"ok", ok}});
  active_.reset();
}

void Supervisor::refuse(const Failure& failure) {
  if (!active_) return;
  refuse_as(active_->id, active_->op, failure);
  active_.reset();
}

void Supervisor::refuse_as(const json& id, const std::string& op, const Failure& failure) {
  send({{"id", id},
        {"error",
         {{"stage", failure.code == "bad_request" ? "request" : op},
          {"code", failure.code},
          {"message", failure.what()}}}});
}

void Supervisor::send(const json& message, std::vector<UniqueFd> fds) {
  // QEMU's words and the caller's may be any bytes.
  const std::string line = message.dump(-1, ' ', false, json::error_handler_t::replace);
  if (!channel_.send(line, std::move(fds))) done_ = true;
}

// Into an empty queue only, unless `all`: what the library does not read is dropped in the log.
void Supervisor::send_console(bool all) {
  if (!hypervisor_ || done_) return;
  ConsoleLog& log = hypervisor_->log();
  while (log.has_unsent() && (all || !channel_.wants_write())) {
    const ConsoleLog::Piece piece = log.take_unsent(kConsoleEventBytes);
    send({{"event", "console"}, {"data", base64_encode(piece.data)}, {"dropped", piece.dropped}});
  }
}

void Supervisor::send_disk_troubles() {
  if (!hypervisor_ || done_) return;
  for (const DiskTrouble& trouble : hypervisor_->take_disk_troubles()) {
    std::string serial;
    if (trouble.node == kScratchNode && machine_.scratch) serial = machine_.scratch->serial;
    for (size_t i = 0; i < machine_.disks.size(); ++i)
      if (trouble.node == disk_node(i)) serial = machine_.disks[i].serial;
    send({{"event", "disk_error"},
          {"serial", serial},
          {"full", trouble.full},
          {"reason", trouble.reason}});
  }
}

void Supervisor::give_up(const char* stage, const std::string& message) {
  send({{"event", "failed"}, {"stage", stage}, {"message", message}});
  done_ = true;
}

}  // namespace vmette::vmm
