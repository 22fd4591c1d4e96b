#include "stillness.h"

#include <cerrno>

#include "identity.h"
#include "machine.h"
#include "shares.h"
#include "system.h"

namespace vmette::agent {
namespace {

// The same error as one of that stage, which the message then names.
SetupError in_stage(const char* stage, const SetupError& error) {
  const wire::Failure& failure = error.failure();
  return {stage, failure.error, failure.path, failure.stage + ": " + failure.message};
}

}  // namespace

void Stillness::remember(const wire::Setup& setup) {
  hostname_ = setup.hostname;
  root_kind_ = setup.root.kind;
  shares_ = setup.shares;
}

uint64_t Stillness::begin(uint64_t deadline_us) {
  if (root_kind_ == wire::RootKind::kShare9p || root_kind_ == wire::RootKind::kVirtiofs)
    throw SetupError(
        "quiesce", EBUSY, "/",
        "the root is a directory of the host's, which cannot be unmounted; use a block "
        "image or the initramfs");
  const uint64_t count = freezer_.freeze(deadline_us);
  frozen_ = true;
  cgroups_.drop_changed_spares();
  try {
    unmount_shares(root_, shares_, modules_);
  } catch (const SetupError& error) {
    thaw();
    if (error.failure().stage == "quiesce") throw;
    throw in_stage("quiesce", error);
  }
  return count;
}

void Stillness::give_up() {
  try {
    mount_shares_again(root_, shares_, modules_);
  } catch (const SetupError& error) {
    thaw();
    throw in_stage("quiesce", error);
  }
  thaw();
}

void Stillness::wake(const wire::Wake& wake) {
  try {
    add_entropy(wake.entropy);
    reseed_random();
    set_clock(wake.realtime_ns);
    if (wake.restored) {
      // Before a share of the host may be in the way, which is not ours to change.
      renew_identity(root_, hostname_, wake);
      if (!wake.hostname.empty()) hostname_ = wake.hostname;
    }
    shares_ = wake.shares;
    mount_shares_again(root_, shares_, modules_);
  } catch (const SetupError& error) {
    throw in_stage("wake", error);
  }
}

void Stillness::thaw() {
  if (frozen_) freezer_.thaw();
  frozen_ = false;
}

}  // namespace vmette::agent
