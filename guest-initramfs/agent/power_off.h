// The machine's orderly end.
#pragma once

#include <cstdint>

#include "control.h"
#include "loop.h"
#include "root_fs.h"

namespace vmette::agent {

// SIGTERM to everything, SIGKILL to what still runs after the grace, then file systems, BYE and
// off. Meanwhile the loop goes on, so that last words and exits still reach the host.
class PowerOff final : private Alarm {
 public:
  PowerOff(Loop& loop, ControlStream& control, RootFs& root)
      : loop_(loop), control_(control), root_(root) {}

  // Only the first call counts.
  void begin(uint32_t grace_ms);

  // No process but the agent is left. Ends the machine once that was asked for.
  void all_processes_ended();

 private:
  enum class Phase : uint8_t {
    kRunning,      // not asked for
    kTerminating,  // SIGTERM sent, the grace runs
    kKilling,      // SIGKILL sent; what does not even die of that is left behind after a while
  };
  static constexpr uint64_t kKillUs = 2000000;

  void due() override;
  void kill_all();
  [[noreturn]] void finish();

  Loop& loop_;
  ControlStream& control_;
  RootFs& root_;
  Phase phase_ = Phase::kRunning;
};

}  // namespace vmette::agent
