#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"

namespace vmette::core {

struct PackOrder {
  std::string helper;              // vmette-vmm, which runs mksquashfs
  std::string source;              // absolute, no link
  std::vector<std::string> empty;  // below it, relative: their contents are left out
  int image = -1;                  // an empty file that becomes the image; borrowed
  // Called every now and then, at most a fifth of a second apart, and with each new percentage.
  // False gives up (kCancelled).
  std::function<bool(int percent)> progress;
};

// Packs a directory into an image and waits for it. Nothing writes to the image any more when this
// returns, and, a moment after this process has been killed, then neither. kNotFound without
// mksquashfs, kSnapshot when it fails.
Result<void> pack_directory(const PackOrder& order);

}  // namespace vmette::core
