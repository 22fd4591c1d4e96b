#include "core/snapshot/digest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::core {
namespace {

constexpr size_t kChunkBytes = size_t{256} * 1024;
constexpr size_t kSha256Bytes = 32;

Error unreadable(const std::string& name, int error_number) {
  return os_error(one_line(fmt::format("'{}' cannot be read", name)), error_number, "digest");
}

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* raw = EVP_MD_CTX_new();
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(raw); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  // Fails only where memory ran out, or where the system's OpenSSL lacks SHA-256.
  if (context_->raw == nullptr || EVP_DigestInit_ex(context_->raw, EVP_sha256(), nullptr) != 1)
    std::abort();
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
  EVP_DigestUpdate(context_->raw, bytes.data(), bytes.size());
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  EVP_DigestFinal_ex(context_->raw, digest.data(), nullptr);
  std::string text;
  for (size_t i = 0; i < kSha256Bytes; ++i) text += fmt::format("{:02x}", digest.at(i));
  return text;
}

std::string sha256_of(std::string_view bytes) {
  Sha256 digest;
  digest.add(bytes);
  return digest.finish();
}

Result<std::string> sha256_of_file(int fd, const std::string& name, const Progress& progress) {
  struct stat info{};
  if (fstat(fd, &info) != 0) return unreadable(name, errno);
  const auto total = static_cast<uint64_t>(std::max<off_t>(info.st_size, 0));
  const std::string step = "digest " + name;
  Sha256 digest;
  std::vector<char> chunk(kChunkBytes);
  for (uint64_t done = 0;;) {
    if (progress && !progress(step, done, total))
      return Error(Code::kCancelled, "the caller's progress callback gave up", "digest");
    const ssize_t count = pread(fd, chunk.data(), chunk.size(), static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return unreadable(name, errno);
    if (count == 0) return digest.finish();
    digest.add({chunk.data(), static_cast<size_t>(count)});
    done += static_cast<uint64_t>(count);
  }
}

Result<std::string> sha256_of_file(const std::string& path, const Progress& progress) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return unreadable(path, errno);
  return sha256_of_file(file.get(), path, progress);
}

bool is_sha256(std::string_view text) {
  return text.size() == 2 * kSha256Bytes && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace vmette::core
