// Base64 (RFC 4648, with padding): how bytes travel in JSON lines.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vmette {

std::string base64_encode(std::string_view bytes);

// Nothing when `text` is not canonical base64: wrong length, alphabet, padding or spare bits.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace vmette
