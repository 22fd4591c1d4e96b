#include "power_off.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr int kFlushMs = 2000;
constexpr size_t kMaxMountTable = 4 * 1024 * 1024;

// The table writes blanks and backslashes as \ooo.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text.size() - i > 3) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<std::string> mount_points(int proc) {
  std::vector<std::string> points;
  const auto table = read_file(proc, "self/mounts", kMaxMountTable);
  if (!table) return points;
  std::string_view text = *table;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t first = line.find(' ');
    const size_t second = line.find(' ', first + 1);
    if (second != std::string_view::npos)
      points.push_back(unescape(line.substr(first + 1, second - first - 1)));
  }
  return points;
}

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
  const auto points = mount_points(root_.proc.get());
  // A directory held open keeps its file system busy.
  root_ = RootFs();
  for (auto point = points.rbegin(); point != points.rend(); ++point) umount2(point->c_str(), 0);
  mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY, nullptr);
  control_.send(wire::Type::kBye, 0, 0, {});
  control_.flush(kFlushMs);
  reboot(RB_POWER_OFF);
  reboot(RB_AUTOBOOT);
  die("the machine cannot be powered off");
}

}  // namespace vmette::agent
