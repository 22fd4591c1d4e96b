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

json share_kinds() {
  try {
    find_virtiofsd();
    return {"virtiofs", "9p"};
  } catch (const Failure&) {
    return {"9p"};
  }
}

}  // namespace

Supervisor::Supervisor(UniqueFd socket, const TickSample& start)
    : channel_(std::move(socket)), start_(start) {}

void Supervisor::run() {
  try {
    while (!done_) {
      turn();
      check_preparations();
      check_load();
      check_save();
      send_console(false);
      send_disk_troubles();
      serve();
    }
  } catch (const std::exception& error) {
    give_up("helper", error.what());
  }
  // In this order: the workers of a save end with the machine, and its directory after them.
  hypervisor_.reset();
  save_.reset();
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
  if (copies_) add(copies_->fd(), POLLIN, [](short) {});
  if (loader_) add(loader_->fd(), POLLIN, [](short) {});
  if (save_) save_->watch(add);
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
  if (is_forced_stop(request)) {
    if (hypervisor_) hypervisor_->kill();
    if (save_) save_->cancel();
    kill_preparations();
  }
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
  if (request.op == "save") return save(request);
  if (request.op == "stop") return stop(request);
  if (request.op == "console") {
    if (!hypervisor_) throw bad_request("console: there is no machine");
    return answer({{"tail", base64_encode(hypervisor_->log().tail())}});
  }
  throw bad_request(fmt::format("op: \"{}\" is unknown", request.op));
}

void Supervisor::capabilities(const Request& request) {
  const std::string arch_name = text_field(request.body, "arch");
  const std::string accel_name = text_field(request.body, "accel");
  const auto arch = arch_name.empty() ? host_arch() : arch_named(arch_name);
  const auto accel = accel_name.empty() ? Accel::kAuto : accel_named(accel_name);
  if (!arch) throw bad_request("arch: must be x86_64 or aarch64");
  if (!accel) throw bad_request("accel: must be auto, kvm or tcg");
  const std::string program = find_qemu(text_field(request.body, "qemu"), *arch);
  const AccelChoice choice = choose_accel(*accel, *arch);
  std::optional<std::string> why_not;
  if (const auto fields = request.body.find("machine"); fields != request.body.end()) {
    Machine machine;
    if (auto problem = from_json(*fields, machine)) throw bad_request("machine: " + *problem);
    why_not = why_not_snapshottable(machine);
  }
  active_->body = {{"hypervisor", "qemu"},
                   {"program", program},
                   {"arch", name_of(*arch)},
                   {"accel", name_of(choice.accel)},
                   {"accel_reason", choice.reason},
                   {"snapshot", !why_not},
                   {"snapshot_reason", why_not.value_or("QEMU saves such machines.")},
                   {"share_kinds", share_kinds()},
                   {"device_limit", kDeviceLimit}};
  version_query_.emplace(program);
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
  check_preparations();
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
  // What has been written down can be completed without the machine.
  if (save_ && save_->needs_machine()) save_.reset();
  if (!save_) save_sources_ = {};
  const bool waited_for = active_ && !version_query_ && !save_;
  if (waited_for && active_->op == "stop") {
    answer(json::object());
  } else if (waited_for) {
    std::string text = fmt::format("QEMU {}", ending.status);
    if (!ending.message.empty()) text += ": " + ending.message;
    const std::string in_use = disk_in_use(ending.message, machine_.disks);
    if (loading_)
      refuse_load(text);
    else
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
