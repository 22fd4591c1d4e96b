#pragma once

#include <cstddef>
#include <string>

#include "core/config.h"
#include "core/error.h"

namespace vmette::core {

// What SETUP may carry of them (docs/guest-protocol.md).
inline constexpr size_t kMostCaCertBytes = size_t{1} << 20;

// The CA certificates that the guest is to trust besides its own, as PEM text, each once; empty
// when there are none to add. They are read from the first of: the share with the tag "certs", the
// configuration's directory, VMETTE_CA_CERTS, the user's own directory, which alone may be missing
// or empty. What else is in the files, private keys for example, is left out.
Result<std::string> read_ca_certs(const Config& config);

}  // namespace vmette::core
