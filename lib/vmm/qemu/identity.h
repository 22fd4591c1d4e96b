#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "vmm/machine.h"

namespace vmette::vmm {

// What has to be the same where a saved machine goes on: the `identity` in the answer of `create`.
// `version` is QEMU's own word, `accel` what was chosen, `tsc_khz` the host's counter, if any.
nlohmann::json identity_of(const Machine& machine, const std::string& version, Accel accel,
                           std::optional<uint32_t> tsc_khz);

// "Name, flags 0123456789abcdef" of this host's first CPU, from the text of /proc/cpuinfo.
std::string host_cpu(const std::string& cpuinfo);

}  // namespace vmette::vmm
