#include "core/image_type.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/unique_fd.h"

namespace vmette::core {
namespace {

// Everything that is looked at lies in these first bytes, but for what only helps a message.
constexpr size_t kHeadBytes = 4096;

// A file system that was recognised, and the bytes that it needs.
struct Found {
  const char* fstype;
  uint64_t bytes;
};

// The first bytes of an image, read as little-endian numbers; what lies beyond its end is zero.
class Head {
 public:
  explicit Head(std::string bytes) : bytes_(std::move(bytes)) {}

  [[nodiscard]] uint64_t number(size_t offset, size_t size) const {
    uint64_t value = 0;
    for (size_t i = size; i > 0; --i)
      value =
          value << 8 |
          (offset + i <= bytes_.size() ? static_cast<unsigned char>(bytes_[offset + i - 1]) : 0);
    return value;
  }
  [[nodiscard]] bool has(size_t offset, std::string_view text) const {
    return bytes_.size() >= offset + text.size() &&
           std::string_view(bytes_).substr(offset, text.size()) == text;
  }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }

 private:
  std::string bytes_;
};

std::optional<Found> squashfs(const Head& head) {
  constexpr uint64_t kMajor = 4;
  if (!head.has(0, "hsqs") || head.number(28, 2) != kMajor) return std::nullopt;
  return Found{"squashfs", head.number(40, 8)};
}

std::optional<Found> erofs(const Head& head) {
  constexpr size_t kAt = 1024;
  constexpr uint64_t kMagic = 0xe0f5e1e2;
  const uint64_t block_bits = head.number(kAt + 12, 1);
  if (head.number(kAt, 4) != kMagic || block_bits < 9 || block_bits > 16) return std::nullopt;
  return Found{"erofs", head.number(kAt + 36, 4) << block_bits};
}

std::optional<Found> ext4(const Head& head) {
  constexpr size_t kAt = 1024;
  constexpr uint64_t kMagic = 0xef53;
  constexpr uint64_t k64Bit = 0x80;
  constexpr uint64_t kJournalDevice = 0x8;
  const uint64_t incompatible = head.number(kAt + 96, 4);
  const uint64_t block_bits = head.number(kAt + 24, 4) + 10;
  if (head.number(kAt + 56, 2) != kMagic || block_bits > 16 || (incompatible & kJournalDevice) != 0)
    return std::nullopt;
  uint64_t blocks = head.number(kAt + 4, 4);
  if ((incompatible & k64Bit) != 0) blocks |= head.number(kAt + 0x150, 4) << 32;
  // More is no real image either, and the product stays a number.
  if (blocks >> (63 - block_bits) != 0) return std::nullopt;
  return Found{"ext4", blocks << block_bits};
}

std::optional<Found> recognise(const Head& head) {
  for (const auto look : {squashfs, erofs, ext4})
    if (const auto found = look(head)) return found;
  return std::nullopt;
}

// What people give by mistake, with what to do about it.
std::string what_else(const Head& head) {
  if (head.empty()) return "is empty";
  if (head.has(0, "\x1f\x8b") || head.has(0, "BZh") ||
      head.has(0,
               "\xfd"
               "7zXZ") ||
      head.has(0, "\x28\xb5\x2f\xfd"))
    return "is compressed; unpack it";
  if (head.has(0, "QFI\xfb")) return "is a qcow2 disk; convert it to raw";
  if (head.has(257, "ustar")) return "is a tar archive; make an image of what it holds";
  if (head.has(512, "EFI PART")) return "is a disk with partitions; take one out of it";
  if (head.has(0, "XFSB")) return "holds an xfs file system";
  if (head.has(0, "hsqs")) return "is a squashfs of an old version";
  if (head.has(0, "\x45\x3d\xcd\x28")) return "holds a cramfs file system";
  if (head.has(0, "-rom1fs-")) return "holds a romfs file system";
  if (head.has(510, "\x55\xaa")) return "is a disk with partitions; take one out of it";
  return "holds no file system that is known here";
}

Error bad(const std::string& field, const std::string& path, const std::string& what) {
  return {Code::kInvalidConfig, one_line(fmt::format("{}: '{}' {}", field, path, what)), "config"};
}

Error unreadable(const std::string& field, const std::string& path, int error) {
  return bad(field, path,
             fmt::format("cannot be read: {}; give an image that can be", errno_text(error)));
}

}  // namespace

Result<std::string> image_fstype(const std::string& field, const std::string& path) {
  // O_NONBLOCK: a FIFO would wait for a writer.
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (!file || fstat(file.get(), &info) != 0) return unreadable(field, path, errno);
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
    return bad(field, path, "is not a file; give the path of an image");
  std::string bytes(kHeadBytes, '\0');
  const ssize_t got = pread(file.get(), bytes.data(), bytes.size(), 0);
  const off_t size = lseek(file.get(), 0, SEEK_END);
  if (got < 0 || size < 0) return unreadable(field, path, errno);
  bytes.resize(static_cast<size_t>(got));
  const Head head(std::move(bytes));
  const auto found = recognise(head);
  if (!found) return bad(field, path, what_else(head) + "; use a squashfs, erofs or ext4 image");
  if (found->bytes > static_cast<uint64_t>(size))
    return bad(field, path,
               fmt::format("is cut short: its {} needs {} bytes and {} are there; copy or build it "
                           "again",
                           found->fstype, found->bytes, size));
  return std::string(found->fstype);
}

}  // namespace vmette::core
