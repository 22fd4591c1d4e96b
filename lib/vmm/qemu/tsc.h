// The frequency of the host's time-stamp counter. Under emulation the guest's TSC is the host's,
// and a guest that has to find its frequency out by itself can spin for ever at boot.
#pragma once

#include <cstdint>
#include <optional>

namespace vmette::vmm {

// One reading of the counter and of the clock, taken together.
struct TickSample {
  uint64_t ticks = 0;
  int64_t clock_ns = 0;
};

TickSample sample_ticks();

// kHz of the counter, better than 50 ppm. Sleeps only for what is missing of kTickSpanMs since
// `earlier`, so that start-up work in between costs nothing. Nothing when this CPU has no counter
// that QEMU hands to the guest.
std::optional<uint32_t> host_tick_khz(const TickSample& earlier);

inline constexpr int kTickSpanMs = 3;

}  // namespace vmette::vmm
