#include "agent_machine.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "freezer.h"
#include "identity.h"
#include "machine.h"
#include "modules.h"
#include "power_off.h"
#include "private_files.h"
#include "root_fs.h"
#include "script.h"
#include "shares.h"
#include "spawn.h"
#include "system.h"
#include "terminal.h"
#include "uevents.h"

namespace {

// No system has that many processes, so that no signal meant for a command can reach anybody.
constexpr pid_t kFirstPid = 0x3f000000;

void put(int root, const char* name, std::string_view text) {
  const vmette::UniqueFd file(openat(root, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  vmette_fuzz::require(
      write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()),
      "the root can be filled");
}

void put_accounts(int root) {
  vmette_fuzz::require(mkdirat(root, "etc", 0755) == 0, "there is an empty root");
  put(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
  put(root, "etc/group", "root:x:0:\nuser:x:1000:\nextra:x:7:user\n");
}

// The commands' root where there can be no private one: a folder with nothing in it but accounts,
// removed at the end.
class RootFolder {
 public:
  RootFolder() {
    vmette_fuzz::require(mkdtemp(path_) != nullptr, "there is a folder for the root");
    fd_.reset(open(path_, O_PATH | O_DIRECTORY | O_CLOEXEC));
    put_accounts(fd_.get());
  }
  ~RootFolder() {
    for (const char* name : {"etc/passwd", "etc/group"}) unlinkat(fd_.get(), name, 0);
    unlinkat(fd_.get(), "etc", AT_REMOVEDIR);
    rmdir(path_);
  }
  [[nodiscard]] vmette::UniqueFd duplicate() const {
    return vmette::UniqueFd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 3));
  }

 private:
  char path_[32] = "/tmp/vmette-fuzz-XXXXXX";
  vmette::UniqueFd fd_;
};

}  // namespace

namespace vmette_fuzz {

FakeMachine& machine() {
  static FakeMachine current;
  return current;
}

void end_process(size_t index, int status) {
  auto& processes = machine().processes;
  machine().ended.push_back({processes[index].pid, status});
  processes.erase(processes.begin() + static_cast<std::ptrdiff_t>(index));
  pthread_kill(pthread_self(), SIGCHLD);
}

}  // namespace vmette_fuzz

// The agent's one call of it collects the machine's processes.
extern "C" pid_t wait4(pid_t, int* status, int, rusage* usage) {
  auto& machine = vmette_fuzz::machine();
  if (machine.ended.empty()) {
    errno = ECHILD;
    return machine.processes.empty() ? -1 : 0;
  }
  const auto ended = machine.ended.front();
  machine.ended.erase(machine.ended.begin());
  *status = ended.status;
  *usage = {};
  return ended.pid;
}

namespace vmette::agent {

SpawnResult spawn(const SpawnRequest& request) {
  auto& machine = vmette_fuzz::machine();
  if (const int error = std::exchange(machine.spawn_error, 0); error != 0)
    return {-1, static_cast<SpawnStage>(machine.spawn_stage), error};
  vmette_fuzz::FakeProcess process;
  process.pid = kFirstPid + ++machine.last_pid;
  for (int i = 0; i < 3; ++i) {
    process.fds[i].reset(fcntl(request.fds[i], F_DUPFD_CLOEXEC, 3));
    vmette_fuzz::require(process.fds[i].valid(), "a command gets three descriptors");
    fcntl(process.fds[i].get(), F_SETFL, O_NONBLOCK);
  }
  const pid_t pid = process.pid;
  machine.processes.push_back(std::move(process));
  return {pid, SpawnStage::kNone, 0};
}

RootFs set_up_root(const wire::Setup& setup, Modules&, Uevents&, std::vector<wire::Step>& steps) {
  if (setup.root.kind == wire::RootKind::kBlock)
    throw SetupError("mount", ENODEV, setup.root.source, "there is no such disk");
  steps.push_back({"root", uptime_us()});
  RootFs root;
  if (vmette_fuzz::confined()) {
    root.directory = vmette_fuzz::empty_file_system();
    put_accounts(root.directory.get());
  } else {
    static const RootFolder folder;
    root.directory = folder.duplicate();
  }
  return root;
}

void set_hostname(const std::string&) {}
void set_clock(uint64_t) {}
void add_entropy(const std::string&) {}
void reseed_random() {}
void renew_identity(const RootFs&, const std::string&, const wire::Wake&) {}

// A share of this name is in use, and cannot be mounted again.
constexpr const char* kStubborn = "tag";

bool has_stubborn(const std::vector<wire::ShareSetup>& shares) {
  return std::ranges::any_of(shares, [](const auto& share) { return share.tag == kStubborn; });
}

void unmount_shares(const RootFs&, const std::vector<wire::ShareSetup>& shares, Modules&) {
  if (has_stubborn(shares)) throw SetupError("quiesce", EBUSY, "/mnt", "in use");
}
void mount_shares_again(const RootFs&, const std::vector<wire::ShareSetup>& shares, Modules&) {
  if (has_stubborn(shares)) throw SetupError("share", ENOENT, "/mnt", "not there");
}

uint64_t Freezer::freeze(uint64_t) {
  return vmette_fuzz::machine().processes.size();
}
void Freezer::thaw() {}

void bring_up_loopback() {}

int set_terminal_modes(int, bool, bool) {
  return 0;
}

Terminal open_terminal(int, uid_t, const wire::WindowSize& size) {
  Terminal terminal;
  terminal.master.reset(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  const int master = terminal.master.get();
  if (!terminal.master || unlockpt(master) != 0) {
    terminal.error = errno;
    return terminal;
  }
  terminal.slave.reset(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  resize_terminal(master, size);
  return terminal;
}

void resize_terminal(int master, const wire::WindowSize& size) {
  winsize window{};
  window.ws_row = size.rows;
  window.ws_col = size.cols;
  ioctl(master, TIOCSWINSZ, &window);
}

pid_t foreground_group(int) {
  return 0;
}

Modules::Modules() = default;
Uevents::Uevents() = default;

void PowerOff::begin(uint32_t) {
  vmette_fuzz::machine().powering_off = true;
}
void PowerOff::all_processes_ended() {}
void PowerOff::due() {}

}  // namespace vmette::agent
