#include "vmm/qemu/tsc.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace vmette::vmm {
namespace {

constexpr int64_t kNsPerMs = 1000000;
constexpr int kSamples = 32;
// A stated frequency that is further off than this from the measured one is not the counter's.
constexpr double kAgreement = 300e-6;

int64_t clock_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return int64_t{now.tv_sec} * 1000 * kNsPerMs + now.tv_nsec;
}

#if defined(__x86_64__)

uint64_t read_ticks() {
  _mm_lfence();
  const uint64_t ticks = __rdtsc();
  _mm_lfence();
  return ticks;
}

constexpr unsigned kHypervisorBit = 1U << 31;  // of leaf 1, ecx

// What the CPU or the hypervisor under us says, or 0.
double stated_khz() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(0x15, 0, &eax, &ebx, &ecx, &edx) != 0 && eax != 0 && ebx != 0 && ecx != 0)
    return static_cast<double>(ecx) * ebx / eax / 1000;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kHypervisorBit) == 0) return 0;
  __cpuid(0x40000000, eax, ebx, ecx, edx);
  if (eax < 0x40000010 || eax > 0x400000ff) return 0;
  __cpuid(0x40000010, eax, ebx, ecx, edx);
  return eax;
}

#elif defined(__aarch64__)

uint64_t read_ticks() {
  uint64_t ticks = 0;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
}

double stated_khz() {
  uint64_t hz = 0;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(hz));
  return static_cast<double>(hz) / 1000;
}

#else

uint64_t read_ticks() {
  return 0;
}
double stated_khz() {
  return 0;
}

#endif

}  // namespace

TickSample sample_ticks() {
  TickSample best;
  uint64_t narrowest = UINT64_MAX;
  for (int i = 0; i < kSamples; ++i) {
    const uint64_t before = read_ticks();
    const int64_t clock = clock_ns();
    const uint64_t after = read_ticks();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    best = {before + (after - before) / 2, clock};
  }
  return best;
}

std::optional<uint32_t> host_tick_khz(const TickSample& earlier) {
  const int64_t missing = earlier.clock_ns + kTickSpanMs * kNsPerMs - clock_ns();
  if (missing > 0) {
    const timespec pause{0, std::min<int64_t>(missing, kTickSpanMs * kNsPerMs)};
    nanosleep(&pause, nullptr);
  }
  const TickSample now = sample_ticks();
  if (now.ticks <= earlier.ticks || now.clock_ns <= earlier.clock_ns) return std::nullopt;
  const double measured = static_cast<double>(now.ticks - earlier.ticks) * kNsPerMs /
                          static_cast<double>(now.clock_ns - earlier.clock_ns);
  const double stated = stated_khz();
  const bool agrees = std::abs(stated - measured) <= kAgreement * measured;
  return static_cast<uint32_t>(std::lround(agrees ? stated : measured));
}

}  // namespace vmette::vmm
