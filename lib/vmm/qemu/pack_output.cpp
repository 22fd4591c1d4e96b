#include "vmm/qemu/pack_output.h"

#include <algorithm>
#include <utility>

namespace vmette::vmm {
namespace {

constexpr size_t kMaxLine = 1000;

// "[====|   ] 17/2289  42%": a bar has its number at its end.
std::optional<int> percent_of(std::string_view line) {
  if (line.size() < 2 || line[0] != '[' || line.back() != '%') return std::nullopt;
  line.remove_suffix(1);
  int value = 0;
  int scale = 1;
  while (!line.empty() && line.back() >= '0' && line.back() <= '9' && scale <= 100) {
    value += (line.back() - '0') * scale;
    scale *= 10;
    line.remove_suffix(1);
  }
  return scale == 1 ? std::nullopt : std::optional(std::min(value, 100));
}

bool about_unread(std::string_view line) {
  return line.starts_with("Failed to read file ") || line.starts_with("Could not open ") ||
         line.starts_with("Cannot open ") || line.starts_with("Cannot stat ");
}

}  // namespace

std::optional<int> PackOutput::add(std::string_view bytes) {
  percent_.reset();
  for (const char c : bytes) {
    if (c == '\r' || c == '\n')
      take_line();
    else if (line_.size() < kMaxLine)
      line_ += c;
  }
  // A bar comes after its carriage return, so the latest one has no end yet.
  if (const auto percent = percent_of(line_)) percent_ = percent;
  return percent_;
}

void PackOutput::finish() {
  take_line();
}

void PackOutput::take_line() {
  std::string line = std::exchange(line_, {});
  if (line.empty()) return;
  if (const auto percent = percent_of(line)) {
    percent_ = percent;
    return;
  }
  if (line.find("ompressor") != std::string::npos &&
      line.find("not supported") != std::string::npos)
    lacks_compressor_ = true;
  if (about_unread(line)) {
    if (++unread_ == 1) first_unread_ = line;
    return;
  }
  before_last_ = std::exchange(last_, std::move(line));
}

std::string PackOutput::words() const {
  return before_last_.empty() ? last_ : before_last_ + ": " + last_;
}

}  // namespace vmette::vmm
