#include "populate.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "mounts.h"
#include "system.h"

namespace vmette::agent {
namespace {

constexpr unsigned long kKernelFlags = MS_NOSUID | MS_NOEXEC | MS_NODEV;

// Where the directory neither exists nor can be made there is nothing to mount on.
void mount_where_possible(const Mount& what) {
  if (const int error = make_directories(what.target); error != 0)
    return console("there is no " + what.target + " in the root: " + error_text(error));
  if (const int error = try_mount(what); error != 0)
    console("cannot mount " + what.target + ": " + error_text(error));
}

void mount_tmpfs(const char* target, const char* mode) {
  mount_where_possible(
      {"tmpfs", "tmpfs", target, MS_NOSUID | MS_NODEV, std::string("mode=") + mode});
}

// A directory where everybody may have files, whatever mode the root has given it.
void open_to_all(const char* directory) {
  constexpr mode_t kMode = 01777;
  int error = make_directories(directory, kMode);
  struct stat info{};
  if (error == 0 && stat(directory, &info) == 0 && (info.st_mode & 07777) != kMode &&
      chmod(directory, kMode) != 0)
    error = errno;
  if (error != 0) console(std::string("cannot prepare ") + directory + ": " + error_text(error));
}

// 0 when `target` exists in the end, else an errno.
int make_share_target(const std::string& target, bool& covered_mnt) {
  const int error = make_directories(target);
  if (error != EROFS || covered_mnt || !target.starts_with("/mnt/")) return error;
  covered_mnt = true;
  if (try_mount({"tmpfs", "tmpfs", "/mnt", MS_NOSUID | MS_NODEV, "mode=0755,size=1m"}) != 0)
    return error;
  return make_directories(target);
}

}  // namespace

void mount_kernel_file_systems() {
  mount_where_possible({"proc", "proc", "/proc", kKernelFlags, ""});
  mount_where_possible({"sysfs", "sysfs", "/sys", kKernelFlags, ""});
  mount_where_possible({"devtmpfs", "devtmpfs", "/dev", MS_NOSUID, "mode=0755"});
}

void mount_scratch(const wire::Root& root) {
  mount_where_possible(
      {"devpts", "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"});
  mount_tmpfs("/dev/shm", "1777");
  constexpr const char* kLinks[][2] = {{"/proc/self/fd", "/dev/fd"},
                                       {"/proc/self/fd/0", "/dev/stdin"},
                                       {"/proc/self/fd/1", "/dev/stdout"},
                                       {"/proc/self/fd/2", "/dev/stderr"}};
  for (const auto& [from, to] : kLinks) {
    // Fails only where it is there already, or there is no /dev.
    [[maybe_unused]] const int done = symlink(from, to);
  }
  const bool read_only = root.upper == wire::UpperKind::kNone;
  if (read_only || root.kind != wire::RootKind::kInitramfs) mount_tmpfs("/run", "0755");
  if (read_only) {
    mount_tmpfs("/tmp", "1777");
  } else {
    open_to_all("/tmp");
  }
}

std::string share_target(const wire::ShareSetup& share) {
  return share.target.empty() ? "/mnt/" + share.tag : share.target;
}

void mount_shares(const std::vector<wire::ShareSetup>& shares, Modules& modules) {
  bool covered_mnt = false;
  for (const wire::ShareSetup& share : shares) {
    const std::string target = share_target(share);
    if (target[0] != '/')
      throw SetupError("share", EINVAL, target, "a share's target must be an absolute path");
    Mount what = host_share(modules, share.virtiofs, share.tag, share.read_only, false);
    what.target = target;
    if (const int error = make_share_target(target, covered_mnt); error != 0) {
      std::string message =
          "cannot create the mount point of share \"" + share.tag + "\": " + error_text(error);
      if (error == EROFS) message += "; choose a directory that the root has, or one below /mnt";
      throw SetupError("share", error, target, message);
    }
    mount_or_throw("share", what, target);
  }
}

UniqueFd mount_cgroups() {
  constexpr const char* kPath = "/sys/fs/cgroup";
  if (try_mount({"cgroup2", "cgroup2", kPath, kKernelFlags, ""}) != 0) return {};
  return UniqueFd(open(kPath, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace vmette::agent
