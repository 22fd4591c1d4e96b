// Files for a fuzzer whose target works on files: a file system that no other program sees, in a
// process that can change nothing else.
#pragma once

#include "base/unique_fd.h"

namespace vmette_fuzz {

// From the first call on, this thread sees all file systems read-only, but for the folders that the
// program was given to write its finds into. False, for ever, where that is not possible: it takes
// root.
bool confined();

// An empty tmpfs of a few MiB that is mounted nowhere and goes with its last descriptor.
vmette::UniqueFd empty_file_system();

}  // namespace vmette_fuzz
