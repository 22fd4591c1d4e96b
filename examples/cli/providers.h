#pragma once

#include <string>

namespace vmette_cli {

// What vmette providers prints: the library's providers in the order in which they are asked.
std::string providers_text();

}  // namespace vmette_cli
