#include "vmm/qemu/hypervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "vmm/qemu/confinement.h"
#include "vmm/qemu/failure.h"

namespace vmette::vmm {
namespace {

constexpr size_t kMaxStderrBytes = size_t{16} * 1024;
constexpr size_t kMessageLines = 10;
constexpr size_t kReadBytes = size_t{64} * 1024;
constexpr int kFirstFd = 3;  // of a child's descriptors beside the standard ones
constexpr const char* kStateFd = "state";
constexpr int64_t kUnlimited = int64_t{1} << 40;  // bytes in a second

using json = nlohmann::json;
using FdPair = std::pair<UniqueFd, UniqueFd>;

FdPair socket_pair() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Read end (which does not block), write end.
FdPair make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe");
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Reads once. False when nothing was there; closes the descriptor at its end.
bool read_once(UniqueFd& fd, std::string& out) {
  if (!fd) return false;
  out.resize(kReadBytes);
  ssize_t count = 0;
  do {
    count = read(fd.get(), out.data(), out.size());
  } while (count < 0 && errno == EINTR);
  if (count == 0 || (count < 0 && errno != EAGAIN)) fd.reset();
  out.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return count > 0;
}

std::string text_at(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

// The last lines of `text`, joined into one.
std::string last_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    if (!line.empty()) lines.push_back(line);
    if (newline == std::string_view::npos) break;
    text.remove_prefix(newline + 1);
  }
  if (lines.size() > kMessageLines)
    lines.erase(lines.begin(), lines.end() - static_cast<ptrdiff_t>(kMessageLines));
  return fmt::format("{}", fmt::join(lines, "; "));
}

}  // namespace

Hypervisor::Hypervisor(const Machine& machine, const std::string& program, Accel accel,
                       const std::string& cmdline, const Attachments& attached,
                       const Beginning& beginning) {
  try {
    auto [qmp, qmp_far] = socket_pair();
    auto [control, control_far] = socket_pair();
    auto [console, console_far] = make_pipe();
    auto [errors, errors_far] = make_pipe();
    ChildPlan plan;
    plan.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"};
    plan.out = errors_far.get();
    plan.fds = {qmp_far.get(), control_far.get(), console_far.get()};
    const auto pass = [&plan](const UniqueFd& fd) {
      if (!fd) return -1;
      plan.fds.push_back(fd.get());
      return kFirstFd + static_cast<int>(plan.fds.size()) - 1;
    };
    PassedFds fds;
    for (const UniqueFd& socket : attached.share_sockets) fds.shares.push_back(pass(socket));
    fds.scratch = pass(attached.scratch);
    for (const UniqueFd& disk : attached.disks) fds.disks.push_back(pass(disk));
    fds.ram = pass(attached.ram);
    fds.empty_directory = pass(attached.empty_directory);
    plan.argv = qemu_argv(machine, program, accel, cmdline, fds, beginning);
    plan.before_exec = drop_capabilities;
    child_.emplace(plan);
    control_ = std::move(control);
    console_ = std::move(console);
    stderr_ = std::move(errors);
    qmp_.emplace(std::move(qmp),
                 [this](const std::string& name, const json& data) { on_event(name, data); });
  } catch (const std::system_error& error) {
    throw Failure("hypervisor", fmt::format("cannot start QEMU: {}", error.what()));
  }
}

void Hypervisor::on_event(const std::string& name, const json& data) {
  if (name == "STOP") {
    qmp_->execute("query-status", [this](const std::string&, const json& value) {
      on_status(text_at(value, "status"));
    });
  } else if (name == "MIGRATION") {
    on_migration(text_at(data, "status"));
  } else if (name == "SHUTDOWN") {
    shutdown_reason_ = text_at(data, "reason");
  } else if (name == "BLOCK_IO_ERROR") {
    // QEMU has a field for it, and leaves that out for devices that report their errors.
    const std::string reason = text_at(data, "reason");
    const bool full = reason == std::generic_category().message(ENOSPC);
    const std::string node = text_at(data, "node-name");
    if (troubled_.insert(node).second) disk_troubles_.push_back({node, full, reason});
  }
}

// QEMU keeps a machine that it cannot run on as it is, for a debugger; nobody would ever come.
void Hypervisor::on_status(const std::string& status) {
  if (status != "internal-error" && status != "io-error" && status != "guest-panicked") return;
  blame(fmt::format("QEMU stopped the machine: {}", status));
  kill();
}

void Hypervisor::write_state(UniqueFd pipe, bool with_memory, Moved done) {
  // Nothing else wants the bandwidth. Failing it would only be slow.
  qmp_->execute("migrate-set-parameters", {{"max-bandwidth", kUnlimited}},
                [](const std::string&, const json&) {});
  move_state("migrate", std::move(pipe), with_memory, std::move(done));
}

void Hypervisor::read_state(UniqueFd pipe, bool with_memory, Moved done) {
  move_state("migrate-incoming", std::move(pipe), with_memory, std::move(done));
}

// The commands do not wait for each other: whichever fails first ends it.
void Hypervisor::move_state(const char* command, UniqueFd pipe, bool with_memory, Moved done) {
  moved_ = std::move(done);
  const uint64_t move = ++moves_;
  const auto check = [this, move](const std::string& error, const json&) {
    if (!error.empty()) end_move(move, error);
  };
  const json capabilities = {{{"capability", "x-ignore-shared"}, {"state", !with_memory}},
                             {{"capability", "events"}, {"state", true}}};
  qmp_->execute("migrate-set-capabilities", {{"capabilities", capabilities}}, check);
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(pipe));
  qmp_->execute("getfd", {{"fdname", kStateFd}}, check, std::move(fds));
  qmp_->execute(command, {{"uri", fmt::format("fd:{}", kStateFd)}},
                [this, move](const std::string& error, const json&) {
                  if (error.empty()) return;
                  // The other end waits for its end.
                  qmp_->execute("closefd", {{"fdname", kStateFd}},
                                [](const std::string&, const json&) {});
                  end_move(move, error);
                });
}

void Hypervisor::on_migration(const std::string& status) {
  if (status == "completed") return end_move(moves_, {});
  if (status != "failed" && status != "cancelled") return;
  qmp_->execute("query-migrate", [this, move = moves_](const std::string&, const json& value) {
    const std::string words = text_at(value, "error-desc");
    end_move(move, words.empty() ? "the transfer of its state failed" : words);
  });
}

void Hypervisor::end_move(uint64_t move, const std::string& error) {
  if (move != moves_) return;
  if (const Moved done = std::exchange(moved_, nullptr)) done(error);
}

void Hypervisor::on_console() {
  std::string bytes;
  if (read_once(console_, bytes)) log_.append(bytes);
}

void Hypervisor::on_stderr() {
  std::string bytes;
  if (!read_once(stderr_, bytes)) return;
  stderr_text_ += bytes;
  if (stderr_text_.size() > kMaxStderrBytes)
    stderr_text_.erase(0, stderr_text_.size() - kMaxStderrBytes);
}

std::string Hypervisor::reason_for(int status) const {
  if (shutdown_reason_ == "guest-shutdown") return "poweroff";
  if (shutdown_reason_ == "guest-reset" || shutdown_reason_ == "guest-panic") return "reset";
  return WIFSIGNALED(status) ? "killed" : "exited";
}

std::optional<Ending> Hypervisor::finish() {
  const std::optional<int> status = child_->reap();
  if (!status) return std::nullopt;
  qmp_->on_ready();
  std::string bytes;
  while (read_once(console_, bytes)) log_.append(bytes);
  console_.reset();
  while (stderr_) {
    const size_t before = stderr_text_.size();
    on_stderr();
    if (stderr_text_.size() == before) stderr_.reset();
  }
  return Ending{reason_for(*status), describe_status(*status), last_lines(stderr_text_)};
}

}  // namespace vmette::vmm
