#include "cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <string_view>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr const char* kParent = "vmette";
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

std::vector<pid_t> members(const Cgroup& group) {
  std::vector<pid_t> pids;
  append_members(group.directory.get(), "cgroup.procs", pids);
  walk(group.directory.get(), 0, [&](int parent, const char* name) {
    append_members(parent, std::string(name) + "/cgroup.procs", pids);
  });
  return pids;
}

bool kill_members(const Cgroup& group) {
  return write_file(group.directory.get(), "cgroup.kill", "1") == 0;
}

bool had_oom_kill(const Cgroup& group) {
  const auto events = read_file(group.directory.get(), "memory.events");
  if (!events) return false;
  constexpr std::string_view kKey = "oom_kill ";
  const size_t at = events->find(kKey);
  return at != std::string::npos && (*events)[at + kKey.size()] != '0';
}

void Cgroups::open(int root) {
  if (root < 0) return;
  // Without the memory controller groups still hold processes together.
  write_file(root, "cgroup.subtree_control", "+memory");
  mkdirat(root, kParent, 0755);
  parent_.reset(openat(root, kParent, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!parent_) return;
  write_file(parent_.get(), "cgroup.subtree_control", "+memory");
  spare_ = make();
}

Cgroup Cgroups::make() {
  Cgroup group;
  if (!parent_) return group;
  group.number = ++next_;
  const std::string name = std::to_string(group.number);
  if (mkdirat(parent_.get(), name.c_str(), 0755) == 0)
    group.directory.reset(openat(parent_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  return group;
}

Cgroup Cgroups::take() {
  if (!spare_.valid()) return make();
  return std::move(spare_);
}

void Cgroups::retire(Cgroup group) {
  if (group.valid()) retired_.push_back(group.number);
}

void Cgroups::tidy() {
  if (!spare_.valid()) spare_ = make();
  for (size_t i = std::min(retired_.size(), kRemovalsPerTidy); i > 0; --i) {
    const uint64_t number = retired_.front();
    retired_.pop_front();
    const std::string name = std::to_string(number);
    if (unlinkat(parent_.get(), name.c_str(), AT_REMOVEDIR) == 0) continue;
    const UniqueFd directory(openat(parent_.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (directory)
      walk(directory.get(), 0,
           [](int parent, const char* child) { unlinkat(parent, child, AT_REMOVEDIR); });
    if (unlinkat(parent_.get(), name.c_str(), AT_REMOVEDIR) != 0) retired_.push_back(number);
  }
}

}  // namespace vmette::agent
