// Bytes that have a certificate's form and nothing in them, for tests of who carries certificates.
#pragma once

#include <string>
#include <string_view>

#include "base/base64.h"

namespace vmette_test {

// One element of DER.
inline std::string der(unsigned char tag, const std::string& content) {
  const auto byte = [](size_t value) { return static_cast<char>(value & 0xff); };
  std::string out(1, static_cast<char>(tag));
  if (content.size() < 0x80)
    out += byte(content.size());
  else
    out.append("\x82").append({byte(content.size() >> 8), byte(content.size())});
  return out + content;
}

// As DER; another one for each name. `size`: of what only makes it larger.
inline std::string certificate(const std::string& name, size_t size = 200) {
  const std::string version = der(0xa0, der(0x02, "\x02"));
  const std::string body =
      der(0x30, version + der(0x0c, name) + der(0x04, std::string(size, '\x5a')));
  return der(0x30, body + der(0x30, der(0x06, "\x2a\x03")) + der(0x03, "signature"));
}

// Text encoding (RFC 7468) with lines of that length, each with that end.
inline std::string pem(const std::string& bytes, std::string_view label = "CERTIFICATE",
                       size_t line = 64, std::string_view end = "\n") {
  const std::string text = vmette::base64_encode(bytes);
  std::string out = "-----BEGIN " + std::string(label) + "-----" + std::string(end);
  for (size_t at = 0; at < text.size(); at += line) out.append(text, at, line).append(end);
  return out.append("-----END ").append(label).append("-----").append(end);
}

}  // namespace vmette_test
