#pragma once

#include <fcntl.h>

#include <cstddef>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "support/catch.h"
#include "tree/packer.h"
#include "tree/unpacker.h"

namespace vmette_test {

inline vmette::UniqueFd open_top(const std::string& path) {
  vmette::UniqueFd top(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(top);
  return top;
}

// The whole stream of a tree, taken in rooms of `room` bytes.
inline std::string packed(const std::string& path, size_t room = 65536) {
  vmette::tree::Packer packer(open_top(path));
  std::string stream;
  std::string buffer(room, '\0');
  while (!packer.over()) {
    const size_t size = packer.fill(std::as_writable_bytes(std::span(buffer)));
    INFO((packer.failure() ? packer.failure()->path : std::string()));
    REQUIRE(!packer.failure());
    stream.append(buffer, 0, size);
  }
  return stream;
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace vmette_test
