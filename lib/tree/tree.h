// A directory tree as one stream of bytes (docs/guest-protocol.md, Trees): the same code packs and
// unpacks on the host and in the guest. Neither side trusts the other: an entry is named by one
// component, so that nothing that is unpacked can leave the folder that was chosen for it.
#pragma once

#include <cstdint>
#include <string>

namespace vmette::tree {

// How deep directories may be nested; each level holds a descriptor.
inline constexpr size_t kMaxDepth = 256;
// Before the bytes of a piece of a file: u64 offset, u32 length. A length of 0 ends the file, the
// offset is then its size.
inline constexpr size_t kPieceHeaderBytes = 12;
inline constexpr uint32_t kMaxPieceBytes = 1024 * 1024;

// Why packing or unpacking cannot go on.
struct Failure {
  int error = 0;        // an errno, 0 when `malformed`
  std::string path;     // below the top, empty for the top itself
  std::string message;  // of a stream that breaks the format
};

struct Progress {
  uint64_t entries = 0;  // files, directories and links so far
  uint64_t bytes = 0;    // of content so far
  uint64_t skipped = 0;  // devices, sockets and pipes, which are not copied
};

}  // namespace vmette::tree
