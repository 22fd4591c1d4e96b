#include "core/random.h"

#include <sys/random.h>
#include <unistd.h>

namespace vmette::core {

std::string random_bytes(size_t count) {
  std::string bytes(count, '\0');
  return getentropy(bytes.data(), bytes.size()) == 0 ? bytes : std::string();
}

std::string random_hex(size_t bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (const char byte : random_bytes(bytes)) {
    hex += kDigits[(static_cast<unsigned char>(byte) >> 4) & 0xf];
    hex += kDigits[static_cast<unsigned char>(byte) & 0xf];
  }
  return hex;
}

}  // namespace vmette::core
