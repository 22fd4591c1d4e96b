#include "mounts.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr int kDiskTimeoutMs = 5000;
// Types of virtio devices, as sysfs has them.
constexpr std::string_view k9pDevice = "0x0009\n";
constexpr std::string_view kVirtiofsDevice = "0x001a\n";

void load_9p(Modules& modules) {
  modules.load("9pnet_virtio");
  modules.load("9p");
}

std::string find_disk(const std::string& serial) {
  DIR* disks = opendir("/sys/block");
  if (disks == nullptr) return {};
  std::string found;
  while (const dirent* entry = readdir(disks)) {
    const std::string path = std::string(entry->d_name) + "/serial";
    auto text = read_file(dirfd(disks), path.c_str());
    if (!text) continue;
    while (!text->empty() && text->back() == '\n') text->pop_back();
    if (*text == serial) found = std::string("/dev/") + entry->d_name;
  }
  closedir(disks);
  return found;
}

}  // namespace

int try_mount(const Mount& what) {
  const int result = mount(what.source.c_str(), what.target.c_str(), what.type.c_str(), what.flags,
                           what.options.c_str());
  return result == 0 ? 0 : errno;
}

void mount_or_throw(const char* stage, const Mount& what, const std::string& as) {
  const int error = try_mount(what);
  if (error == 0) return;
  std::string message = "cannot mount " + what.type + " \"" + what.source + "\" as " + as + ": ";
  if (error == ENODEV) {
    message += "the kernel does not know this file system";
  } else if (what.type == "9p" && error == ENOENT) {
    message += "the machine has no shared directory of that name";
  } else if (what.type == "9p" && error == EBUSY) {
    message += "a shared directory can be mounted once";
  } else {
    message += error_text(error);
  }
  throw SetupError(stage, error, what.source, message);
}

int make_directories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1))
    if (mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) return errno;
  if (mkdir(path.c_str(), 0700) == 0) return chmod(path.c_str(), mode) == 0 ? 0 : errno;
  if (errno != EEXIST) return errno;
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) return errno;
  return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
}

void load_share_modules(Modules& modules) {
  DIR* devices = opendir("/sys/bus/virtio/devices");
  if (devices == nullptr) return;
  while (const dirent* entry = readdir(devices)) {
    const auto id = read_file(dirfd(devices), (std::string(entry->d_name) + "/device").c_str());
    if (id == k9pDevice) load_9p(modules);
    if (id == kVirtiofsDevice) modules.load("virtiofs");
  }
  closedir(devices);
}

Mount host_share(Modules& modules, bool virtiofs, const std::string& tag, bool read_only,
                 bool cached) {
  Mount what;
  what.source = tag;
  what.flags = read_only ? MS_RDONLY : 0;
  what.type = virtiofs ? "virtiofs" : "9p";
  if (virtiofs) {
    modules.load("virtiofs");
    return what;
  }
  load_9p(modules);
  // The transport's limit.
  what.options = "trans=virtio,version=9p2000.L,msize=512000,cache=";
  // mmap keeps no names and no data but those that are mapped: what the host changes is seen.
  what.options += cached ? "loose" : "mmap";
  return what;
}

void name_disks(const std::vector<wire::DiskSetup>& disks, Modules& modules, Uevents& devices) {
  for (size_t i = 0; i < disks.size(); ++i) {
    const std::string device = disk_with_serial("disk", disks[i].serial, modules, devices);
    const std::string names[] = {"/dev/vmette/disk" + std::to_string(i),
                                 "/dev/disk/by-id/virtio-" + disks[i].serial};
    for (const std::string& name : names) {
      int error = make_directories(name.substr(0, name.rfind('/')));
      if (error == 0 && symlink(device.c_str(), name.c_str()) != 0) error = errno;
      if (error != 0) throw SetupError("disk", error, name, "cannot name a disk");
    }
    load_file_system(modules, disks[i].fstype.empty() ? "ext4" : disks[i].fstype);
  }
}

std::string disk_with_serial(const char* stage, const std::string& serial, Modules& modules,
                             Uevents& devices) {
  modules.load("virtio_blk");
  std::string path;
  const auto present = [&] {
    path = find_disk(serial);
    return !path.empty() && access(path.c_str(), F_OK) == 0;
  };
  if (serial.empty() || !devices.wait_until(present, kDiskTimeoutMs))
    throw SetupError(stage, ENODEV, serial, "the machine has no disk with this serial");
  return path;
}

void load_file_system(Modules& modules, const std::string& type) {
  // ext4 asks for its checksum by name, which needs a modprobe that is not here.
  if (type == "ext4") modules.load("crc32c_generic");
  modules.load(type);
}

}  // namespace vmette::agent
