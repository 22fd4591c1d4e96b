#include "vmm/qemu/confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <type_traits>
#include <vector>

namespace vmette::vmm {
namespace {

// Newer than many systems' headers.
constexpr int kFchmodat2 = 452;

using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, void (*)(scmp_filter_ctx)>;
using Conditions = std::vector<scmp_arg_cmp>;

// The argument's bits under `mask` are `value`.
scmp_arg_cmp bits(unsigned argument, uint64_t mask, uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

class Rules {
 public:
  void refuse(int call, int error, const Conditions& when = {}) {
    if (failed_ != 0) return;
    failed_ = seccomp_rule_add_array(filter_.get(), SCMP_ACT_ERRNO(static_cast<uint16_t>(error)),
                                     call, static_cast<unsigned>(when.size()), when.data());
  }

  // EPERM for a mode with a setuid or setgid bit.
  void refuse_mode(int call, unsigned argument, const Conditions& also = {}) {
    for (const uint64_t bit : {S_ISUID, S_ISGID}) {
      Conditions when = also;
      when.push_back(bits(argument, bit, bit));
      refuse(call, EPERM, when);
    }
  }

  // The mode counts only with a flag that creates.
  void refuse_open(int call, unsigned flags) {
    for (const uint64_t flag : {uint64_t{O_CREAT}, uint64_t{O_TMPFILE & ~O_DIRECTORY}})
      refuse_mode(call, flags + 1, {bits(flags, flag, flag)});
  }

  void refuse_node(int call, unsigned mode) {
    refuse_mode(call, mode);
    for (const uint64_t type : {S_IFCHR, S_IFBLK}) refuse(call, EPERM, {bits(mode, S_IFMT, type)});
  }

  // 0 or an errno.
  int load() {
    if (!filter_) return ENOMEM;
    if (failed_ == 0) failed_ = seccomp_load(filter_.get());
    return -failed_;
  }

 private:
  Filter filter_{seccomp_init(SCMP_ACT_ALLOW), seccomp_release};
  int failed_ = filter_ ? 0 : -ENOMEM;
};

}  // namespace

int forbid_special_files() {
  Rules rules;
#ifdef SYS_chmod
  rules.refuse_mode(SYS_chmod, 1);
  rules.refuse_mode(SYS_creat, 1);
  rules.refuse_open(SYS_open, 1);
  rules.refuse_node(SYS_mknod, 1);
#endif
  rules.refuse_mode(SYS_fchmod, 1);
  rules.refuse_mode(SYS_fchmodat, 2);
  rules.refuse_mode(kFchmodat2, 2);
  rules.refuse_open(SYS_openat, 2);
  rules.refuse_node(SYS_mknodat, 2);
  // Their arguments are in memory, where a filter cannot look.
  rules.refuse(SYS_openat2, ENOSYS);
  rules.refuse(SYS_io_uring_setup, ENOSYS);
  return rules.load();
}

const char* drop_capabilities() {
  constexpr std::array<int, 4> kKept = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
                                        CAP_FOWNER};
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    if (std::ranges::find(kKept, capability) != kKept.end()) continue;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, capability, 0, 0);
    // Only root gets by its exec what the bounding set holds.
    if (prctl(PR_CAPBSET_DROP, capability) != 0 && geteuid() == 0)
      return "its capabilities cannot be dropped";
  }
  return nullptr;
}

}  // namespace vmette::vmm
