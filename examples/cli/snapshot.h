#pragma once

#include <string>

namespace vmette_cli {

// vmette snapshot VERB PATH. The verb is one of those that take_snapshot_words() lets through.
// Returns the exit code.
int snapshot_command(const std::string& verb, const std::string& path);

}  // namespace vmette_cli
