#include "vmm/qemu/console_log.h"

#include <algorithm>
#include <utility>

namespace vmette::vmm {

void ConsoleLog::append(std::string_view bytes) {
  buffer_.append(bytes);
  unsent_ += bytes.size();
  if (unsent_ > kBytes) {
    dropped_ += unsent_ - kBytes;
    unsent_ = kBytes;
  }
  if (buffer_.size() >= 2 * kBytes) buffer_.erase(0, buffer_.size() - kBytes);
}

std::string_view ConsoleLog::tail() const {
  const std::string_view all = buffer_;
  return all.substr(all.size() - std::min(all.size(), kBytes));
}

ConsoleLog::Piece ConsoleLog::take_unsent(size_t max_bytes) {
  const size_t count = std::min(unsent_, max_bytes);
  Piece piece{buffer_.substr(buffer_.size() - unsent_, count), std::exchange(dropped_, 0)};
  unsent_ -= count;
  return piece;
}

}  // namespace vmette::vmm
