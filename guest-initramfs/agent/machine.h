// What a booted or resumed machine must be told: its name, the time, randomness, its loopback.
#pragma once

#include <cstdint>
#include <string>

namespace vmette::agent {

// The name may be empty (unchanged). Throws SetupError.
void set_hostname(const std::string& name);
// Nanoseconds since 1970; 0 leaves the clock alone. Throws SetupError.
void set_clock(uint64_t realtime_ns);
// Credits every bit. Throws SetupError.
void add_entropy(const std::string& bytes);
// Whatever the kernel gives from now on comes of a new key. Throws SetupError.
void reseed_random();
// A kernel without network has none.
void bring_up_loopback();

}  // namespace vmette::agent
