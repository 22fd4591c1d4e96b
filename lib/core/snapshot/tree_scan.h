#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace vmette::core {

// What a directory tree looks like from outside its files: one file system, names in order.
struct TreeScan {
  std::string digest;               // SHA-256 over every entry's metadata
  std::vector<std::string> empty;   // directories whose contents are not part of it, relative
  std::vector<uint64_t> marks;      // one for each entry, to find where two scans differ
  std::vector<std::string> unread;  // directories that this user cannot read, relative
};

struct ScanOptions {
  // Device and inode of directories that are taken for empty: the cache's own.
  std::vector<std::pair<uint64_t, uint64_t>> hidden;
  // Called now and then with the number of entries so far; false gives up (kCancelled).
  std::function<bool(uint64_t entries)> progress;
  // An earlier scan: `differs` becomes the first path that is not as it was.
  const std::vector<uint64_t>* before = nullptr;
  std::string* differs = nullptr;
};

// Walks a directory. Directories that something is mounted on are empty, and those of / that hold
// what belongs to the running system or is temporary.
Result<TreeScan> scan_tree(const std::string& directory, const ScanOptions& options);

}  // namespace vmette::core
