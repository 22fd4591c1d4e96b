// Mounting, directories and finding disks; used while the root is set up.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "modules.h"
#include "uevents.h"
#include "wire/messages.h"

namespace vmette::agent {

struct Mount {
  std::string type;
  std::string source;
  std::string target;
  unsigned long flags = 0;  // MS_*
  std::string options;
};

// 0 or an errno.
int try_mount(const Mount& what);
// Throws SetupError that says what could not be mounted "as" what, and why.
void mount_or_throw(const char* stage, const Mount& what, const std::string& as);

// mkdir -p. 0 when `path` is a directory afterwards, else an errno.
int make_directories(const std::string& path, mode_t mode = 0755);

// The mount of a directory that the host shares under `tag`; loads the modules for it. `cached`:
// the host's side does not change while the machine lives.
Mount host_share(Modules& modules, bool virtiofs, const std::string& tag, bool read_only,
                 bool cached);

// Loads what the machine's shares need, while the initramfs that has it is the root: also those
// that are mounted only later.
void load_share_modules(Modules& modules);

// /dev path of the virtio-blk device with this serial; loads its module and waits for the device.
// Throws SetupError of that stage.
std::string disk_with_serial(const char* stage, const std::string& serial, Modules& modules,
                             Uevents& devices);

// Links /dev/vmette/disk<N> and /dev/disk/by-id/virtio-<serial> to each disk, and loads the module
// of what is on it; of ext4 where that is not known, since the guest may format it. Throws
// SetupError.
void name_disks(const std::vector<wire::DiskSetup>& disks, Modules& modules, Uevents& devices);

// Loads what a file system of that type needs.
void load_file_system(Modules& modules, const std::string& type);

}  // namespace vmette::agent
