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

// A hosts file with this text after the machine has got another name: what was added for the old
// one goes, what is missing for the new one comes. Pure.
std::string renamed_hosts(std::string_view text, std::string_view old_name, std::string_view name);

// The same files when the machine has got another name.
void rename_host(RootFiles& files, const std::string& old_name, const std::string& name);

// 32 hex digits, into the files that have a machine ID already. What a root cannot take is said on
// the console.
void replace_machine_id(RootFiles& files, const std::string& id);

// Appends the certificates to each trust store that the root has; false when there is none. Throws
// SetupError of stage "ca_certs" where a store cannot be changed.
bool add_ca_certificates(RootFiles& files, const std::string& pem);

}  // namespace vmette::agent
