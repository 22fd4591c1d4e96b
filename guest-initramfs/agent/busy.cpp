#include "busy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <set>

#include "base/unique_fd.h"
#include "mount_table.h"
#include "process_list.h"
#include "system.h"

namespace vmette::agent {
namespace {

constexpr size_t kMaxMaps = 16 * 1024 * 1024;

using Devices = std::vector<dev_t>;

// Of the file behind a magic link; nothing when it is on none of the devices.
std::optional<dev_t> device_of(int directory, const char* link, const Devices& devices) {
  struct statx info{};
  // What the kernel knows is enough: whoever serves the file may be frozen.
  if (statx(directory, link, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &info) != 0)
    return std::nullopt;
  const dev_t device = makedev(info.stx_dev_major, info.stx_dev_minor);
  if (std::ranges::find(devices, device) == devices.end()) return std::nullopt;
  return device;
}

unsigned hexadecimal(std::string_view text) {
  unsigned value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

// Calls `visit` with each name in a directory until it returns true.
bool any_name(int directory, const char* path, const std::function<bool(int, const char*)>& visit) {
  const int fd = openat(directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
  if (entries == nullptr) return false;
  bool found = false;
  while (const dirent* entry = found ? nullptr : readdir(entries))
    found = entry->d_name[0] != '.' && visit(fd, entry->d_name);
  closedir(entries);
  return found;
}

class Search {
 public:
  Search(int proc, const Devices& devices) : proc_(proc), devices_(devices) {
    namespaces_.insert(mount_namespace("self"));
  }

  std::optional<Holder> run() {
    const bool found = any_name(proc_, ".", [&](int, const char* name) {
      return name[0] >= '1' && name[0] <= '9' && holds(name);
    });
    return found ? std::optional(holder_) : std::nullopt;
  }

 private:
  bool holds(const char* process) {
    const auto stat = read_file(proc_, (std::string(process) + "/stat").c_str());
    const ProcessState state = stat ? parse_process_state(*stat) : ProcessState();
    if (state.kernel_thread) return false;
    const UniqueFd directory(openat(proc_, process, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return false;
    if (!has_link(directory.get()) && !has_descriptor(directory.get()) &&
        !has_mapping(directory.get()) && !has_mount(process))
      return false;
    holder_.pid = static_cast<pid_t>(std::stol(process));
    holder_.name = state.name;
    return true;
  }

  bool held(std::optional<dev_t> device, std::string how) {
    if (!device) return false;
    holder_.device = *device;
    holder_.how = std::move(how);
    return true;
  }

  bool has_link(int process) {
    return held(device_of(process, "cwd", devices_), "has its working directory in it") ||
           held(device_of(process, "root", devices_), "has its root in it") ||
           held(device_of(process, "exe", devices_), "runs a program from it");
  }

  bool has_descriptor(int process) {
    return any_name(process, "fd", [&](int directory, const char* name) {
      return held(device_of(directory, name, devices_),
                  "has a file of it open as descriptor " + std::string(name));
    });
  }

  bool has_mapping(int process) {
    const auto maps = read_file(process, "maps", kMaxMaps);
    std::string_view text = maps ? std::string_view(*maps) : std::string_view();
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      if (held(mapped_device(line, devices_), "has a file of it in its memory")) return true;
    }
    return false;
  }

  // Another mount namespace keeps what is unmounted in this one.
  bool has_mount(const char* process) {
    if (!namespaces_.insert(mount_namespace(process)).second) return false;
    for (const MountEntry& entry : mount_table(proc_, process))
      if (std::ranges::find(devices_, entry.device) != devices_.end())
        return held(entry.device, "has it in a mount namespace of its own");
    return false;
  }

  [[nodiscard]] std::string mount_namespace(const char* process) const {
    char name[64];
    const ssize_t size =
        readlinkat(proc_, (std::string(process) + "/ns/mnt").c_str(), name, sizeof name);
    return {name, size > 0 ? static_cast<size_t>(size) : 0};
  }

  int proc_;
  const Devices& devices_;
  std::set<std::string> namespaces_;  // seen
  Holder holder_;
};

}  // namespace

// "start-end rwxp offset major:minor inode path"
std::optional<dev_t> mapped_device(std::string_view line, const std::vector<dev_t>& devices) {
  for (int i = 0; i < 3; ++i) line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
  const std::string_view word = line.substr(0, line.find(' '));
  const size_t colon = word.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const dev_t device =
      makedev(hexadecimal(word.substr(0, colon)), hexadecimal(word.substr(colon + 1)));
  if (device == 0 || std::ranges::find(devices, device) == devices.end()) return std::nullopt;
  return device;
}

std::optional<Holder> find_holder(int proc, const std::vector<dev_t>& devices) {
  return Search(proc, devices).run();
}

}  // namespace vmette::agent
