#pragma once

#include <string>

namespace vmette_cli {

// What vmette --help prints: the commands, and every option from the table in flags.cpp.
std::string usage_text();

}  // namespace vmette_cli
