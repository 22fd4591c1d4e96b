#include "vmm/qemu/private_mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace vmette::vmm {
namespace {

// From linux/fs.h and linux/fcntl.h, which do not go together with the C library's headers.
constexpr uint64_t kPrivate = 1U << 18U;
constexpr unsigned kRecursive = 0x8000;

long set_attributes(int fd, const char* path, unsigned flags, const mount_attr& attributes) {
  return syscall(SYS_mount_setattr, fd, path, flags | kRecursive, &attributes, sizeof attributes);
}

}  // namespace

const char* enter_private_mount(const std::string& path, bool read_only, const char* at) {
  if (unshare(CLONE_NEWNS) != 0) return "no mount namespace of its own";
  // What the host mounts later must not appear here, writable.
  mount_attr attributes{};
  attributes.propagation = kPrivate;
  if (set_attributes(-1, "/", 0, attributes) != 0) return "the mounts do not become private";
  const UniqueFd tree(static_cast<int>(
      syscall(SYS_open_tree, AT_FDCWD, path.c_str(),
              static_cast<unsigned>(OPEN_TREE_CLONE) | OPEN_TREE_CLOEXEC | kRecursive)));
  if (!tree) return "the directory does not open";
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0);
  if (set_attributes(tree.get(), "", AT_EMPTY_PATH, attributes) != 0)
    return read_only ? "the directory does not become read-only" : "the mount cannot be restricted";
  if (syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, at, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return "the directory cannot be mounted";
  return nullptr;
}

}  // namespace vmette::vmm
