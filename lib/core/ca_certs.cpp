#include "core/ca_certs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/base64.h"
#include "core/config_check.h"

namespace vmette::core {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";

// Where to look, and who says so.
struct Source {
  std::string field;
  std::string directory;
  std::string otherwise;  // what to do without certificates
  bool required = true;
};

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read only
  if (value == nullptr) return std::nullopt;
  return value;
}

std::optional<Source> user_source() {
  // A relative one is to be ignored, says the specification of that variable.
  if (const auto xdg = environment("XDG_CONFIG_HOME"); xdg && xdg->starts_with('/'))
    return Source{"ca_certs", *xdg + "/vmette/certs", "", false};
  const auto home = environment("HOME");
  if (!home || home->empty()) return std::nullopt;
  return Source{"ca_certs", *home + "/.config/vmette/certs", "", false};
}

std::optional<Source> source_of(const Config& config) {
  for (const Share& share : config.shares)
    if (share.tag == "certs")
      return Source{"shares: certs", share.path, "give the share another tag"};
  const auto named = [](const char* field, const std::string& directory) -> std::optional<Source> {
    if (directory.empty()) return std::nullopt;
    return Source{field, directory, fmt::format("leave {} empty", field)};
  };
  if (config.ca_certs) return named("ca_certs", *config.ca_certs);
  if (const auto value = environment("VMETTE_CA_CERTS")) return named("VMETTE_CA_CERTS", *value);
  return user_source();
}

// One element of DER, and what follows it.
struct Element {
  std::string_view content;
  std::string_view rest;
};

std::optional<Element> element(std::string_view der, uint8_t tag) {
  const auto byte = [&](size_t at) { return static_cast<uint8_t>(der[at]); };
  if (der.size() < 2 || byte(0) != tag) return std::nullopt;
  size_t length = byte(1);
  size_t head = 2;
  if (length >= 0x80) {
    const size_t width = length & 0x7f;
    if (width < 1 || width > 3 || der.size() < head + width) return std::nullopt;
    length = 0;
    for (size_t i = 0; i < width; ++i) length = length << 8 | byte(head + i);
    head += width;
  }
  if (length > der.size() - head) return std::nullopt;
  return Element{der.substr(head, length), der.substr(head + length)};
}

constexpr uint8_t kInteger = 0x02;
constexpr uint8_t kBitString = 0x03;
constexpr uint8_t kSequence = 0x30;
constexpr uint8_t kVersion = 0xa0;

// Certificate ::= SEQUENCE { SEQUENCE { version or serial number ... }, SEQUENCE, BIT STRING }.
// No private key has that form, whatever its container.
bool is_certificate(std::string_view der) {
  const auto whole = element(der, kSequence);
  if (!whole || !whole->rest.empty()) return false;
  const auto body = element(whole->content, kSequence);
  if (!body || !(element(body->content, kVersion) || element(body->content, kInteger)))
    return false;
  const auto algorithm = element(body->rest, kSequence);
  if (!algorithm) return false;
  const auto signature = element(algorithm->rest, kBitString);
  return signature && signature->rest.empty();
}

// Every certificate of a file, as DER; nothing when one of them is damaged.
std::optional<std::vector<std::string>> certificates_of(const std::string& bytes) {
  std::vector<std::string> found;
  if (bytes.starts_with(static_cast<char>(kSequence))) {
    const auto whole = element(bytes, kSequence);
    if (!whole || !whole->rest.empty()) return std::nullopt;
    if (is_certificate(bytes)) found.push_back(bytes);
    return found;
  }
  for (size_t at = bytes.find(kBegin); at != std::string::npos; at = bytes.find(kBegin, at)) {
    at += kBegin.size();
    const size_t end = bytes.find(kEnd, at);
    if (end == std::string::npos) return std::nullopt;
    std::string text = bytes.substr(at, end - at);
    std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' ' || c == '\t'; });
    auto der = base64_decode(text);
    if (!der || !is_certificate(*der)) return std::nullopt;
    found.push_back(std::move(*der));
    at = end;
  }
  return found;
}

std::string pem(const std::string& der) {
  constexpr size_t kLine = 64;
  const std::string text = base64_encode(der);
  std::string out = std::string(kBegin) + '\n';
  for (size_t at = 0; at < text.size(); at += kLine) out += text.substr(at, kLine) + '\n';
  return out.append(kEnd) + '\n';
}

// The names of what may hold certificates, in order.
Result<std::vector<fs::path>> candidates(const Source& source) {
  std::vector<fs::path> files;
  std::error_code error;
  auto entries = fs::directory_iterator(source.directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path& path = entries->path();
    const fs::path type = path.extension();
    std::error_code ignored;  // a link that leads nowhere is no file
    if ((type == ".pem" || type == ".crt" || type == ".cer") && fs::is_regular_file(path, ignored))
      files.push_back(path);
  }
  std::error_code ignored;
  if (error && (source.required || fs::is_directory(source.directory, ignored)))
    return wrong(
        "{}: '{}' cannot be read: {}; give a directory with CA certificates that you may "
        "read",
        source.field, source.directory, errno_text(error.value()));
  std::ranges::sort(files);
  return files;
}

Result<std::string> read_bounded(const Source& source, const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes(kMostCaCertBytes + 1, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!in.eof() && bytes.size() != static_cast<size_t>(in.gcount()))
    return wrong("{}: '{}' cannot be read; change its permissions or remove it", source.field,
                 path.string());
  bytes.resize(static_cast<size_t>(in.gcount()));
  if (bytes.size() > kMostCaCertBytes)
    return wrong("{}: '{}' is larger than 1 MiB; keep the certificates that the guest needs",
                 source.field, path.string());
  return bytes;
}

}  // namespace

Result<std::string> read_ca_certs(const Config& config) {
  const auto source = source_of(config);
  if (!source) return std::string();
  const auto files = candidates(*source);
  if (!files) return files.error();
  std::string text;
  std::set<std::string> seen;
  for (const fs::path& path : files.value()) {
    const auto bytes = read_bounded(*source, path);
    if (!bytes) return bytes.error();
    const auto certificates = certificates_of(bytes.value());
    if (!certificates)
      return wrong("{}: '{}' has a damaged certificate; replace or remove the file", source->field,
                   path.string());
    for (const std::string& certificate : *certificates)
      if (seen.insert(certificate).second) text += pem(certificate);
    if (text.size() > kMostCaCertBytes)
      return wrong(
          "{}: the certificates in '{}' are larger than 1 MiB; keep those that the guest "
          "needs",
          source->field, source->directory);
  }
  if (text.empty() && source->required)
    return wrong(
        "{}: '{}' has no certificate; put CA certificates there as *.pem, *.crt or *.cer "
        "files, or {}",
        source->field, source->directory, source->otherwise);
  return text;
}

}  // namespace vmette::core
