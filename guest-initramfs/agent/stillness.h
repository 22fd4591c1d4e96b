// The guest's side of a save: everything stands still, and what goes on may be another machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cgroups.h"
#include "freezer.h"
#include "modules.h"
#include "root_fs.h"
#include "wire/messages.h"

namespace vmette::agent {

class Stillness {
 public:
  // Borrows all for its life.
  Stillness(const RootFs& root, Cgroups& cgroups, Modules& modules)
      : root_(root), cgroups_(cgroups), modules_(modules), freezer_(root) {}

  // What the machine was set up with.
  void remember(const wire::Setup& setup);

  // Freezes all processes by `deadline_us` (uptime) and unmounts the shares; returns how many stand
  // still. Throws SetupError of stage "quiesce", and everything is as before.
  uint64_t begin(uint64_t deadline_us);
  // Undoes begin(). Throws SetupError of stage "quiesce" when a share cannot be mounted again.
  void give_up();
  // Applies what WAKE says to the still machine. Throws SetupError of stage "wake".
  void wake(const wire::Wake& wake);
  // Lets all processes go on; does nothing when they do.
  void thaw();

  // Processes are frozen.
  [[nodiscard]] bool frozen() const { return frozen_; }

 private:
  const RootFs& root_;
  Cgroups& cgroups_;
  Modules& modules_;
  Freezer freezer_;
  bool frozen_ = false;
  std::string hostname_;
  wire::RootKind root_kind_ = wire::RootKind::kInitramfs;
  std::vector<wire::ShareSetup> shares_;
};

}  // namespace vmette::agent
