#include "report.h"

#include <iostream>

namespace vmette_cli {
namespace {

// U+0080 to U+009F, which some terminals obey.
bool is_c1(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  return byte(at) == 0xc2 && at + 1 < text.size() && byte(at + 1) >= 0x80 && byte(at + 1) < 0xa0;
}

constexpr std::size_t kConsoleLines = 24;

std::string_view last_lines(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::size_t at = text.size();
  for (std::size_t i = 0; i < kConsoleLines; ++i) {
    at = text.rfind('\n', at - 1);
    if (at == std::string_view::npos || at == 0) return text;
  }
  return text.substr(at + 1);
}

void print_console(std::string_view console) {
  while (!console.empty()) {
    const auto end = console.find('\n');
    std::string_view line = console.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    std::cerr << "  | " << visible(line) << '\n';
    console.remove_prefix(end == std::string_view::npos ? console.size() : end + 1);
  }
}

}  // namespace

std::string visible(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || is_c1(text, i)) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += text[i];
    }
  }
  return out;
}

void report(std::string_view message) {
  std::cerr << "vmette: error: " << visible(message) << '\n';
}

void report(const vmette::Error& error) {
  report(error.message());
  if (error.code() != vmette::ErrorCode::kStartFailed) return;
  std::cerr << "  stage " << error.stage() << ", after " << error.elapsed().count() << " ms\n";
  if (error.console().empty()) return;
  std::cerr << "  the console's last lines:\n";
  print_console(last_lines(error.console()));
}

}  // namespace vmette_cli
