#include "freezer.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cgroups.h"
#include "process_list.h"
#include "system.h"

namespace vmette::agent {
namespace {

constexpr const char* kHeld = "held";
constexpr const char* kFreeze = "cgroup.freeze";
constexpr const char* kProcesses = "cgroup.procs";

[[noreturn]] void fail(int error, const std::string& message) {
  throw SetupError("quiesce", error, "", message);
}

// Calls `visit` with a descriptor (O_PATH) of each group below `parent`, but not further down.
void each_group(int parent, const std::function<void(UniqueFd, std::string_view)>& visit) {
  const int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
    UniqueFd group(openat(fd, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (group) visit(std::move(group), name);
  }
  closedir(entries);
}

// Of cgroup.events: whether anything in the group can still run.
bool runs(std::string_view events) {
  return events.find("populated 1") != std::string_view::npos &&
         events.find("frozen 1") == std::string_view::npos;
}

bool runs(int group) {
  const auto events = read_file(group, "cgroup.events");
  return events && runs(*events);
}

std::string naming(pid_t pid, const ProcessState& state) {
  return "process " + std::to_string(pid) + " (" + state.name + ")";
}

// The state of a thread that keeps its group from being frozen, a waiting one first: what computes
// is only slow.
ProcessState worst_thread(int proc, pid_t pid) {
  ProcessState worst;
  const std::string path = std::to_string(pid) + "/task";
  const int fd = openat(proc, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
  if (entries == nullptr) return worst;
  while (const dirent* entry = readdir(entries)) {
    if (entry->d_name[0] == '.') continue;
    const auto stat = read_file(fd, (std::string(entry->d_name) + "/stat").c_str());
    if (!stat) continue;
    ProcessState state = parse_process_state(*stat);
    const bool worse = state.state == 'D' || (state.state == 'R' && worst.state != 'D');
    if (worse || worst.name.empty()) worst = std::move(state);
  }
  closedir(entries);
  return worst;
}

std::string culprit(int proc, int group) {
  std::string running = "a process of the guest";
  for (const pid_t pid : members(group)) {
    const ProcessState state = worst_thread(proc, pid);
    if (state.state == 'D') return naming(pid, state) + ", which waits inside the kernel,";
    if (state.state == 'R') running = naming(pid, state);
  }
  return running;
}

}  // namespace

uint64_t Freezer::freeze(uint64_t deadline_us) {
  commands_.reset(openat(root_.cgroups.get(), kCommandGroups, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!commands_ || faccessat(commands_.get(), kFreeze, W_OK, 0) != 0)
    fail(ENOSYS,
         "the guest's kernel cannot freeze processes: it has no control groups of version 2, or "
         "none with cgroup.freeze");
  try {
    while (!pass(deadline_us)) {
    }
  } catch (const SetupError&) {
    thaw();
    throw;
  }
  uint64_t frozen = 0;
  const auto count = [&](const UniqueFd& group, std::string_view) {
    frozen += members(group.get()).size();
  };
  each_group(root_.cgroups.get(), count);
  return frozen;
}

// True when nothing was found that could still run.
bool Freezer::pass(uint64_t deadline_us) {
  const bool moved = gather_strays(root_.cgroups.get(), true);
  bool settled = !gather_strays(commands_.get(), false) && !moved;
  std::vector<UniqueFd> theirs;  // frozen by the guest and not yet still
  std::vector<int> waiting;
  const auto visit = [&](UniqueFd group, std::string_view) {
    if (!runs(group.get())) return;
    settled = false;
    waiting.push_back(group.get());
    const auto flag = read_file(group.get(), kFreeze);
    const bool ours = flag && flag->starts_with('0');
    if (ours) write_file(group.get(), kFreeze, "1");
    (ours ? groups_ : theirs).push_back(std::move(group));
  };
  each_group(root_.cgroups.get(), [&](UniqueFd group, std::string_view name) {
    if (name != kCommandGroups) visit(std::move(group), name);
  });
  each_group(commands_.get(), visit);
  for (const int group : waiting) await(group, deadline_us);
  if (!settled && uptime_us() >= deadline_us)
    fail(ETIMEDOUT, "the guest's processes move between control groups faster than they freeze");
  return settled;
}

// Moves what is in a group that is not frozen itself. True when there was anything.
bool Freezer::gather_strays(int group, bool of_root) {
  bool any = false;
  for (const pid_t pid : own_members(group)) {
    if (pid == getpid() || is_kernel_thread(pid)) continue;
    gather(pid, of_root);
    any = true;
  }
  return any;
}

// Also what has just ended.
bool Freezer::is_kernel_thread(pid_t pid) const {
  const auto stat = read_file(root_.proc.get(), (std::to_string(pid) + "/stat").c_str());
  return !stat || parse_process_state(*stat).kernel_thread;
}

void Freezer::gather(pid_t pid, bool of_root) {
  if (!held_) {
    mkdirat(commands_.get(), kHeld, 0755);
    held_.reset(openat(commands_.get(), kHeld, O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  const int error = held_ ? write_file(held_.get(), kProcesses, std::to_string(pid)) : errno;
  if (error == 0) return strays_.push_back({pid, of_root});
  if (error == ESRCH) return;
  const ProcessState state = worst_thread(root_.proc.get(), pid);
  fail(error, naming(pid, state) +
                  " cannot be frozen: it cannot be moved to a control group: " + error_text(error));
}

void Freezer::await(int group, uint64_t deadline_us) const {
  const UniqueFd events(openat(group, "cgroup.events", O_RDONLY | O_CLOEXEC));
  while (events) {
    char text[256];
    const ssize_t size = pread(events.get(), text, sizeof text, 0);
    if (size <= 0 || !runs(std::string_view(text, static_cast<size_t>(size)))) return;
    const uint64_t now = uptime_us();
    if (now >= deadline_us)
      fail(ETIMEDOUT, culprit(root_.proc.get(), group) + " did not freeze in time");
    pollfd state{events.get(), POLLPRI, 0};
    poll(&state, 1,
         static_cast<int>(std::min<uint64_t>((deadline_us - now + 999) / 1000, INT_MAX)));
  }
}

void Freezer::thaw() {
  send_strays_back();
  for (const UniqueFd& group : groups_) write_file(group.get(), kFreeze, "0");
  groups_.clear();
  held_.reset();
  if (commands_) unlinkat(commands_.get(), kHeld, AT_REMOVEDIR);
  commands_.reset();
}

// With what they have started on their way, which goes to the outermost group. What cannot go back
// stays where it is, and runs.
void Freezer::send_strays_back() {
  if (!held_) return;
  for (const pid_t pid : own_members(held_.get())) {
    const auto stray = std::ranges::find(strays_, pid, &Stray::pid);
    const bool of_root = stray == strays_.end() || stray->of_root;
    write_file(of_root ? root_.cgroups.get() : commands_.get(), kProcesses, std::to_string(pid));
  }
  strays_.clear();
}

}  // namespace vmette::agent
