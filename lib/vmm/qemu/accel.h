#pragma once

#include <string>

#include "vmm/machine.h"

namespace vmette::vmm {

struct AccelChoice {
  Accel accel = Accel::kTcg;  // never kAuto
  std::string reason;         // one sentence for people
};

// KVM can open and even make a machine on a host where a guest then hangs at its first
// instruction: where this host is itself a guest whose CPU flags show neither vmx nor svm. So
// `auto` takes KVM only when it works and the flag is there; `kvm` skips the flag. Throws Failure
// kvm_unavailable when `kvm` is asked for and does not work.
AccelChoice choose_accel(Accel wanted, Arch arch);

}  // namespace vmette::vmm
