#include "root_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "etc_files.h"
#include "mounts.h"
#include "populate.h"
#include "system.h"

namespace vmette::agent {
namespace {

constexpr const char* kLower = "/vmette/lower";
constexpr const char* kUpper = "/vmette/upper";
constexpr const char* kRoot = "/vmette/root";
constexpr const char* kScratchStep = "overlay upper on scratch disk";

Mount lower_mount(const wire::Root& root, Modules& modules, Uevents& devices) {
  // What is mounted on it stays out of the layer.
  if (root.kind == wire::RootKind::kInitramfs) return {"initramfs", "/", "", MS_BIND, ""};
  if (root.kind != wire::RootKind::kBlock)
    return host_share(modules, root.kind == wire::RootKind::kVirtiofs, root.source, true, true);
  if (root.fstype != "squashfs" && root.fstype != "erofs" && root.fstype != "ext4")
    throw SetupError(
        "root", EINVAL, root.source,
        "root file system type \"" + root.fstype + "\" is not known; use squashfs, erofs or ext4");
  Mount what;
  what.type = root.fstype;
  what.source = disk_with_serial("root", root.source, modules, devices);
  what.flags = MS_RDONLY;
  // The device is read-only: a journal that was not replayed cannot be.
  if (root.fstype == "ext4") what.options = "noload";
  load_file_system(modules, root.fstype);
  return what;
}

void mount_upper(const wire::Root& root, Modules& modules, Uevents& devices) {
  Mount what;
  what.target = kUpper;
  if (root.upper == wire::UpperKind::kTmpfs) {
    what.type = what.source = "tmpfs";
    what.options = "mode=0755";
  } else {
    what.type = "ext4";
    what.source = disk_with_serial("upper", root.upper_source, modules, devices);
    // The disk ends with the machine: nothing has to survive a crash, and what is deleted gives its
    // place on the host back.
    what.flags = MS_NOATIME;
    what.options = "nobarrier,noinit_itable,discard";
    load_file_system(modules, what.type);
  }
  make_directories(what.target);
  mount_or_throw("upper", what, "the writable layer");
  for (const char* name : {"/upper", "/work"}) {
    const std::string path = kUpper + std::string(name);
    if (const int error = make_directories(path); error != 0)
      throw SetupError("upper", error, path, "cannot create a directory of the upper layer");
  }
}

void mount_root(const wire::Root& root, Modules& modules, Uevents& devices) {
  Mount lower = lower_mount(root, modules, devices);
  make_directories(kRoot);
  if (root.upper == wire::UpperKind::kNone) {
    lower.target = kRoot;
    mount_or_throw("root", lower, "the root");
    return;
  }
  lower.target = kLower;
  make_directories(kLower);
  mount_or_throw("root", lower, "the root");
  mount_upper(root, modules, devices);
  modules.load("overlay");
  // redirect_dir: a directory of the lower layer can be renamed, as everywhere else.
  mount_or_throw("root",
                 {"overlay", "overlay", kRoot, 0,
                  std::string("redirect_dir=on,lowerdir=") + kLower + ",upperdir=" + kUpper +
                      "/upper,workdir=" + kUpper + "/work"},
                 "the root");
  // The overlay holds its layers; nobody needs to see them.
  umount2(kLower, MNT_DETACH);
  umount2(kUpper, MNT_DETACH);
}

// Everything below `directory` that is on `device`: what the initramfs keeps in memory.
void remove_contents(UniqueFd directory, dev_t device) {
  if (!directory) return;
  DIR* entries = fdopendir(directory.get());
  if (entries == nullptr) return;
  const int fd = directory.release();
  while (const dirent* entry = readdir(entries)) {
    const char* name = entry->d_name;
    struct stat info{};
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_dev != device) continue;
    if (!S_ISDIR(info.st_mode)) {
      unlinkat(fd, name, 0);
      continue;
    }
    remove_contents(UniqueFd(openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)),
                    device);
    unlinkat(fd, name, AT_REMOVEDIR);
  }
  closedir(entries);
}

// `keep_initramfs`: it is a layer of the new root.
void switch_to_root(bool keep_initramfs) {
  for (const char* path : {"/proc", "/sys", "/dev"}) umount2(path, MNT_DETACH);
  UniqueFd old(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat info{};
  if (!old || fstat(old.get(), &info) != 0 || chdir(kRoot) != 0)
    throw SetupError("switch_root", errno, "/", "cannot open the initramfs");
  if (!keep_initramfs) remove_contents(std::move(old), info.st_dev);
  if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || chroot(".") != 0 || chdir("/") != 0)
    throw SetupError("switch_root", errno, "/", "cannot move the new root to /");
}

// Runs `work` with the new root as /, then comes back.
template <class Work>
void inside(const char* root, Work work) {
  const UniqueFd back(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!back || chdir(root) != 0 || chroot(".") != 0)
    throw SetupError("root", errno, root, "cannot enter the new root");
  work();
  if (fchdir(back.get()) != 0 || chroot(".") != 0) die("cannot leave the new root");
}

}  // namespace

InsideRoot::InsideRoot(const RootFs& root) {
  if (!root.needs_chroot) return;
  back_.reset(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!back_ || fchdir(root.directory.get()) != 0 || chroot(".") != 0)
    die("cannot enter the commands' root: " + error_text(errno));
}

InsideRoot::~InsideRoot() {
  if (back_ && (fchdir(back_.get()) != 0 || chroot(".") != 0))
    die("cannot leave the commands' root");
}

RootFs set_up_root(const wire::Setup& setup, Modules& modules, Uevents& devices,
                   std::vector<wire::Step>& steps) {
  const auto step = [&](const char* name) { steps.push_back({name, uptime_us()}); };
  RootFs root;
  root.proc.reset(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  // The agent's own mount, so that a root without /sys has control groups all the same.
  root.cgroups = mount_cgroups();
  const bool on_disk = setup.root.upper == wire::UpperKind::kDisk;
  const bool initramfs = setup.root.kind == wire::RootKind::kInitramfs;
  const bool own = initramfs && !on_disk;
  const bool read_only = setup.root.upper == wire::UpperKind::kNone;
  const auto populate = [&](RootFiles& files) {
    if (!own) mount_kernel_file_systems();
    mount_scratch(setup.root);
    // Before a share of the host may be in the way, which is not ours to change.
    write_host_names(files, setup.hostname);
    if (!setup.ca_certs.empty())
      step(add_ca_certificates(files, setup.ca_certs) ? "ca certificates"
                                                      : "ca certificates: no trust store");
    mount_shares(setup.shares, modules);
    if (!own) mount_cgroups();
    root.directory.reset(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  };
  load_share_modules(modules);
  if (!setup.disks.empty()) {
    name_disks(setup.disks, modules, devices);
    step("disks");
  }
  if (own) {
    RootFiles files(false);
    populate(files);
    if (read_only) mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr);
  } else {
    mount_root(setup.root, modules, devices);
    step(on_disk ? kScratchStep : "root");
    if (on_disk) console(kScratchStep);
    RootFiles files(read_only);
    inside(kRoot, [&] { populate(files); });
    root.needs_chroot = !setup.switch_root;
  }
  step("mounts");
  if (!setup.switch_root) return root;
  if (!own) switch_to_root(initramfs);
  prctl(PR_SET_NAME, "vmette-runner");
  step("switch_root");
  return root;
}

}  // namespace vmette::agent
