#include "boot.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr const char* kPortName = "vmette.control";
constexpr int kPortTimeoutMs = 20000;
// Room for 4,096 commands with three pipes and the three descriptors of a control group each.
constexpr rlim_t kOpenFiles = 65536;
// What commands may raise their own limit to.
constexpr rlim_t kMostOpenFiles = 524288;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// EBUSY: the kernel has mounted it already.
void mount_early(const char* type, const char* target) {
  mkdir(target, 0755);
  if (mount(type, target, type, MS_NOSUID, nullptr) != 0 && errno != EBUSY)
    die(std::string("cannot mount ") + target + ": " + error_text(errno));
}

void open_standard_streams() {
  int fd = open("/dev/console", O_RDWR | O_NOCTTY);
  // A machine without a console has the device all the same, but it does not open.
  if (fd < 0) fd = open("/dev/null", O_RDWR);
  if (fd < 0) return;
  for (int i = 0; i < 3; ++i)
    if (fd != i) dup2(fd, i);
  if (fd > 2) close(fd);
}

bool has_pci_devices() {
  const Directory directory(opendir("/sys/bus/pci/devices"));
  if (!directory) return false;
  while (const dirent* entry = readdir(directory.get()))
    if (entry->d_name[0] != '.') return true;
  return false;
}

UniqueFd open_port() {
  const Directory ports(opendir("/sys/class/virtio-ports"));
  if (!ports) return {};
  while (const dirent* entry = readdir(ports.get())) {
    const std::string name = std::string(entry->d_name) + "/name";
    const auto text = read_file(dirfd(ports.get()), name.c_str());
    if (!text || *text != std::string(kPortName) + "\n") continue;
    const std::string path = std::string("/dev/") + entry->d_name;
    return UniqueFd(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  }
  return {};
}

}  // namespace

void prepare_process() {
  mount_early("proc", "/proc");
  mount_early("sysfs", "/sys");
  mount_early("devtmpfs", "/dev");
  open_standard_streams();
  umask(022);
  // Whoever has something for the agent does not take its turn away before it is done: half as many
  // switches between a command that prints and the agent. Commands are scheduled as ever.
  const sched_param priority{1};
  if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &priority) != 0)
    console("cannot raise the agent's priority: " + error_text(errno));
  signal(SIGPIPE, SIG_IGN);
  const rlimit files{kOpenFiles, kMostOpenFiles};
  setrlimit(RLIMIT_NOFILE, &files);
  // As every command that runs as root. The kernel never kills PID 1 when memory runs out, so there
  // is nothing to set for that, which each command would have to take back.
  const gid_t group = 0;
  if (setgroups(1, &group) != 0) console("cannot set the agent's group: " + error_text(errno));
}

UniqueFd open_control_port(Modules& modules, Uevents& devices) {
  // In this order: Debian's virtio needs virtio_ring without saying so in its dependencies.
  for (const char* name : {"virtio_ring", "virtio", "virtio_mmio"}) modules.load(name);
  if (has_pci_devices()) modules.load("virtio_pci");
  modules.load("virtio_console");
  UniqueFd port;
  const auto opened = [&] {
    port = open_port();
    return port.valid();
  };
  if (!devices.wait_until(opened, kPortTimeoutMs))
    throw SetupError("port", ENXIO, kPortName, "the machine has no such virtio-serial port");
  return port;
}

}  // namespace vmette::agent
