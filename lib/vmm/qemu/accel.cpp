#include "vmm/qemu/accel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>

#ifdef __linux__
#include <linux/kvm.h>
#endif

#include "base/unique_fd.h"
#include "vmm/qemu/failure.h"

namespace vmette::vmm {
namespace {

#ifdef __linux__

// Why KVM does not work here, or nothing.
std::optional<std::string> kvm_problem() {
  const auto text = [] { return std::generic_category().message(errno); };
  const UniqueFd kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) {
    const bool denied = errno == EACCES || errno == EPERM;
    return fmt::format("/dev/kvm does not open: {}{}", text(),
                       denied ? " (is this user in the group kvm?)" : "");
  }
  if (ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
    return "/dev/kvm speaks an unknown version";
  const UniqueFd machine(ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!machine) return fmt::format("/dev/kvm makes no machine: {}", text());
  return std::nullopt;
}

// The CPU flag that says that KVM can be trusted; empty when there is none.
std::string virtualization_flag() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line);
    for (std::string word; words >> word;)
      if (word == "vmx" || word == "svm") return word;
    break;
  }
  return {};
}

#else

std::optional<std::string> kvm_problem() {
  return "KVM is a part of Linux";
}
std::string virtualization_flag() {
  return {};
}

#endif

}  // namespace

AccelChoice choose_accel(Accel wanted, Arch arch) {
  if (wanted == Accel::kTcg) return {Accel::kTcg, "Emulation, as asked for."};

  std::optional<std::string> problem;
  if (arch != host_arch())
    problem =
        fmt::format("KVM runs {} machines here, not {} ones", name_of(host_arch()), name_of(arch));
  else
    problem = kvm_problem();

  if (wanted == Accel::kKvm) {
    if (problem)
      // In the words of the library's caller, who reads it.
      throw Failure(
          "kvm_unavailable",
          fmt::format("accel: hardware does not work here: {}; use auto or emulation", *problem));
    return {Accel::kKvm, "KVM, as asked for."};
  }
  if (problem) return {Accel::kTcg, fmt::format("Emulation: {}.", *problem)};
  if (arch == Arch::kAarch64) return {Accel::kKvm, "KVM: /dev/kvm works."};
  const std::string flag = virtualization_flag();
  if (flag.empty())
    return {Accel::kTcg,
            "Emulation: /dev/kvm works but the CPU shows neither vmx nor svm, and such a KVM can "
            "hang; accel kvm forces it."};
  return {Accel::kKvm, fmt::format("KVM: /dev/kvm works and the CPU has {}.", flag)};
}

}  // namespace vmette::vmm
