#pragma once

#include <string>
#include <string_view>
#include <vmette.hpp>

namespace vmette_cli {

// Prints "vmette: error: <message>" on stderr.
void report(std::string_view message);
// The same for an error of the library; a failed boot is followed by where it stopped, after how
// long, and the console's last lines.
void report(const vmette::Error& error);

// `text` with every control byte but a line's end made visible: what a guest printed must not
// steer the terminal.
std::string visible(std::string_view text);

}  // namespace vmette_cli
