#pragma once

#include <cstddef>
#include <string>

namespace vmette::core {

// Bytes of the system's generator, at most 256; none where it fails.
std::string random_bytes(size_t count);

// The same as lower-case hexadecimal digits, two for each byte.
std::string random_hex(size_t bytes);

}  // namespace vmette::core
