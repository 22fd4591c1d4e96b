#include "power_off.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "mount_table.h"
#include "system.h"

namespace vmette::agent {
namespace {

constexpr int kFlushMs = 2000;

}  // namespace

void PowerOff::begin(uint32_t grace_ms) {
  if (phase_ != Phase::kRunning) return;
  if (grace_ms == 0) {
    kill_all();
    return;
  }
  phase_ = Phase::kTerminating;
  kill(-1, SIGTERM);
  // A stopped process could not act on it.
  kill(-1, SIGCONT);
  loop_.set_alarm(*this, static_cast<uint64_t>(grace_ms) * 1000);
}

void PowerOff::kill_all() {
  phase_ = Phase::kKilling;
  kill(-1, SIGKILL);
  loop_.set_alarm(*this, kKillUs);
}

void PowerOff::due() {
  if (phase_ == Phase::kTerminating) {
    kill_all();
  } else {
    finish();
  }
}

void PowerOff::all_processes_ended() {
  if (phase_ != Phase::kRunning) finish();
}

void PowerOff::finish() {
  control_.stop_reading();
  control_.flush(kFlushMs);
  sync();
  const auto mounts = mount_table(root_.proc.get(), "self");
  // A directory held open keeps its file system busy.
  root_ = RootFs();
  for (auto entry = mounts.rbegin(); entry != mounts.rend(); ++entry)
    umount2(entry->point.c_str(), 0);
  mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
  control_.send(wire::Type::kBye, 0, 0, {});
  control_.flush(kFlushMs);
  reboot(RB_POWER_OFF);
  reboot(RB_AUTOBOOT);
  die("the machine cannot be powered off");
}

}  // namespace vmette::agent
