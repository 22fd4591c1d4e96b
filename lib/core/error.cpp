#include "core/error.h"

#include <cstring>

namespace vmette::core {
namespace {

constexpr size_t kLongestLine = 2000;

// Length of the UTF-8 sequence at `at`, 0 when there is none.
size_t utf8_length(const std::string& text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t length = lead < 0x80       ? 1
                        : lead >> 5 == 6  ? 2
                        : lead >> 4 == 14 ? 3
                        : lead >> 3 == 30 ? 4
                                          : 0;
  if (length == 0 || at + length > text.size()) return 0;
  // The value's bits, so that the forms which strict readers refuse are refused here.
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  uint32_t value = length == 1 ? lead : lead & (0x7fU >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + i]);
    if ((byte & 0xc0) != 0x80) return 0;
    value = value << 6 | (byte & 0x3f);
  }
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  return value < kLeast[length] || value > 0x10ffff || surrogate ? 0 : length;
}

// The two forms of strerror_r.
[[maybe_unused]] std::string strerror_text(int status, const char* buffer) {
  return status == 0 ? buffer : "unknown error";
}
[[maybe_unused]] std::string strerror_text(const char* text, const char*) {
  return text;
}

}  // namespace

std::string errno_text(int error_number) {
  char buffer[256] = "";
  return strerror_text(strerror_r(error_number, buffer, sizeof buffer), buffer);
}

Error os_error(const std::string& what, int error_number, std::string stage) {
  return {Code::kIo, what + ": " + errno_text(error_number), std::move(stage), error_number};
}

std::string one_line(const std::string& text) {
  std::string line;
  for (size_t at = 0; at < text.size() && line.size() < kLongestLine;) {
    const size_t length = utf8_length(text, at);
    const auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0) {
      line += '?';
    } else if (byte < 0x20 || byte == 0x7f) {
      line += ' ';
    } else {
      line.append(text, at, length);
    }
    at += length == 0 ? 1 : length;
  }
  return line;
}

bool is_utf8(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

}  // namespace vmette::core
