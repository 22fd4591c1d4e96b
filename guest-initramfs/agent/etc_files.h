// Files in /etc that say what machine this is and whom it trusts.
#pragma once

#include <string>
#include <string_view>

#include "root_files.h"

namespace vmette::agent {

// The lines that a hosts file with this text lacks: localhost in both families and the machine's
// own name.
std::string missing_hosts(std::string_view text, std::string_view hostname);

// /etc/hosts, whose own lines stay, and /etc/hostname. What a root cannot take is said on the
// console.
void write_host_names(RootFiles& files, const std::string& hostname);

// Appends the certificates to each trust store that the root has; false when there is none. Throws
// SetupError of stage "ca_certs" where a store cannot be changed.
bool add_ca_certificates(RootFiles& files, const std::string& pem);

}  // namespace vmette::agent
