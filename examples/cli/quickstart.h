#pragma once

namespace vmette_cli {

// Boots a machine with all defaults, runs a command in it and prints the command's output, the boot
// timeline and the time all of it took. Returns the exit code: 0, or 1 with the reason on stderr.
int quickstart();

}  // namespace vmette_cli
