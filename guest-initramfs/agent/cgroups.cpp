#include "cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <functional>
#include <string_view>
#include <utility>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxMemberList = 1024 * 1024;

// Calls `visit` with the directory and the name of each group below `directory`, innermost first.
void walk(int directory, int depth, const std::function<void(int, const char*)>& visit) {
  const int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == ".." || depth == kMaxDepth) continue;
    const UniqueFd child(openat(fd, entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (child) walk(child.get(), depth + 1, visit);
    visit(fd, entry->d_name);
  }
  closedir(entries);
}

void append_members(int directory, const std::string& path, std::vector<pid_t>& pids) {
  const auto list = read_file(directory, path.c_str(), kMaxMemberList);
  if (!list) return;
  std::string_view text = *list;
  while (!text.empty()) {
    pid_t pid = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (parsed.ec == std::errc() && pid > 0) pids.push_back(pid);
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
}

}  // namespace

std::vector<pid_t> own_members(int directory) {
  std::vector<pid_t> pids;
  append_members(directory, "cgroup.procs", pids);
  return pids;
}

std::vector<pid_t> members(int directory) {
  std::vector<pid_t> pids = own_members(directory);
  walk(directory, 0, [&](int parent, const char* name) {
    append_members(parent, std::string(name) + "/cgroup.procs", pids);
  });
  return pids;
}

std::vector<pid_t> members(const Cgroup& group) {
  return members(group.directory.get());
}

bool kill_members(const Cgroup& group) {
  return write_file(group.directory.get(), "cgroup.kill", "1") == 0;
}

bool had_oom_kill(const Cgroup& group) {
  char text[256];
  const ssize_t size = pread(group.events.get(), text, sizeof text, 0);
  const std::string_view events(text, size > 0 ? static_cast<size_t>(size) : 0);
  constexpr std::string_view kKey = "oom_kill ";
  const size_t at = events.find(kKey);
  return at != std::string_view::npos && events.substr(at + kKey.size(), 1) != "0";
}

void Cgroups::open(int root) {
  if (root < 0) return;
  // Without the memory controller groups still hold processes together.
  write_file(root, "cgroup.subtree_control", "+memory");
  mkdirat(root, kCommandGroups, 0755);
  parent_.reset(openat(root, kCommandGroups, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent_) return;
  write_file(parent_.get(), "cgroup.subtree_control", "+memory");
  changes_.reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  spares_.push_back(make());
}

Cgroup Cgroups::make() {
  Cgroup group;
  if (!parent_) return group;
  group.number = ++next_;
  const std::string name = std::to_string(group.number);
  if (mkdirat(parent_.get(), name.c_str(), 0755) != 0) return group;
  group.directory.reset(openat(parent_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!group.valid()) return group;
  group.processes.reset(openat(group.directory.get(), "cgroup.procs", O_RDONLY | O_CLOEXEC));
  group.events.reset(openat(group.directory.get(), "memory.events", O_RDONLY | O_CLOEXEC));
  // By its name alone: the agent's own root need not have a /proc to name a descriptor with.
  if (changes_ && fchdir(parent_.get()) == 0) {
    group.watch =
        inotify_add_watch(changes_.get(), name.c_str(), IN_MODIFY | IN_ATTRIB | IN_CREATE);
    if (chdir("/") != 0) die("cannot go back to /");
  }
  return group;
}

Cgroup Cgroups::take() {
  if (spares_.empty()) return make();
  Cgroup group = std::move(spares_.back());
  spares_.pop_back();
  return group;
}

void Cgroups::retire(Cgroup group) {
  if (group.valid()) retired_.push_back(std::move(group));
}

void Cgroups::drop_changed_spares() {
  note_changes();
  for (Cgroup& group : std::exchange(spares_, {}))
    if (as_new(group))
      spares_.push_back(std::move(group));
    else
      retire(std::move(group));
  if (spares_.empty()) spares_.push_back(make());
}

void Cgroups::tidy() {
  if (!retired_.empty()) note_changes();
  for (size_t i = std::min(retired_.size(), kPerTidy); i > 0; --i) {
    Cgroup group = std::move(retired_.front());
    retired_.pop_front();
    keep_or_remove(std::move(group));
  }
  if (spares_.empty()) spares_.push_back(make());
}

void Cgroups::note_changes() {
  alignas(inotify_event) char buffer[4096];
  ssize_t got = 0;
  while ((got = read(changes_.get(), buffer, sizeof buffer)) > 0) {
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      at += static_cast<ssize_t>(sizeof event + event.len);
      // A queue that overflowed has lost events of any group that there is.
      if ((event.mask & IN_Q_OVERFLOW) != 0)
        first_watched_ = next_ + 1;
      else if ((event.mask & IN_IGNORED) == 0)
        changed_.insert(event.wd);
    }
  }
}

// The kernel's own count of processes that it killed for lack of memory cannot be put back either.
bool Cgroups::as_new(const Cgroup& group) const {
  return group.watch >= 0 && group.number >= first_watched_ && !changed_.contains(group.watch) &&
         !had_oom_kill(group);
}

// Where a retired group goes: to the spares, away, or, while it is populated, back in the queue.
void Cgroups::keep_or_remove(Cgroup group) {
  const bool reusable = spares_.size() < kMaxSpares && as_new(group);
  if (!reusable) {
    if (!remove(group)) retired_.push_back(std::move(group));
    return;
  }
  char process[16];
  if (pread(group.processes.get(), process, sizeof process, 0) == 0)
    spares_.push_back(std::move(group));
  else
    retired_.push_back(std::move(group));
}

bool Cgroups::remove(const Cgroup& group) {
  const std::string name = std::to_string(group.number);
  if (unlinkat(parent_.get(), name.c_str(), AT_REMOVEDIR) != 0) {
    walk(group.directory.get(), 0,
         [](int parent, const char* child) { unlinkat(parent, child, AT_REMOVEDIR); });
    if (unlinkat(parent_.get(), name.c_str(), AT_REMOVEDIR) != 0) return false;
  }
  changed_.erase(group.watch);
  return true;
}

}  // namespace vmette::agent
