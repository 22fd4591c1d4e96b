#include "core/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace vmette::core {
namespace {

constexpr size_t kMostListingBytes = size_t{64} * 1024 * 1024;
// What an entry takes here, however little the guest says of it.
constexpr size_t kLeastEntryBytes = 128;
static_assert(sizeof(wire::FileInfo) <= kLeastEntryBytes + 32);

Error too_large(const char* operation, const std::string& path, size_t most) {
  return {Code::kFile,
          one_line(fmt::format("{} {}: more than {} bytes; raise the limit, or take it in pieces",
                               operation, path, most)),
          operation, EFBIG};
}

uint32_t length_at(const std::string& bytes, size_t at) {
  uint32_t length = 0;
  for (size_t i = 0; i < sizeof length; ++i)
    length |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return length;
}

}  // namespace

Result<void> BytesSink::take(wire::Bytes bytes) {
  if (bytes.size() > most_ - bytes_.size()) return too_large(wire::op::kRead, path_, most_);
  bytes_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return success();
}

Result<void> ListingSink::take(wire::Bytes bytes) {
  pending_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  size_t at = 0;
  while (pending_.size() - at >= sizeof(uint32_t)) {
    const uint32_t length = length_at(pending_, at);
    if (length > wire::kMaxEntryBytes)
      return Error(Code::kGuest, fmt::format("it announced a directory entry of {} bytes", length));
    if (pending_.size() - at - sizeof length < length) break;
    at += sizeof length;
    BOOST_OUTCOME_TRYV(
        take_entry({reinterpret_cast<const std::byte*>(pending_.data()) + at, length}));
    at += length;
    total_ += std::max(sizeof length + length, kLeastEntryBytes);
    if (total_ > kMostListingBytes) return too_large(wire::op::kList, path_, kMostListingBytes);
  }
  pending_.erase(0, at);
  return success();
}

Result<void> ListingSink::take_entry(wire::Bytes entry) {
  auto info = wire::decode<wire::FileInfo>(entry);
  if (!info.value) return Error(Code::kGuest, "its directory entry is wrong: " + info.error);
  const std::string& name = info.value->name;
  if (!wire::is_name(name))
    return Error(Code::kGuest, fmt::format("its directory entry is named '{}'", name));
  if (info.value->target.find('\0') != std::string::npos)
    return Error(Code::kGuest, "its directory entry has a link with a NUL byte");
  entries_.push_back(std::move(*info.value));
  return success();
}

Result<void> ListingSink::end() {
  if (!pending_.empty()) return Error(Code::kGuest, "its listing ends within an entry");
  return success();
}

std::vector<wire::FileInfo>& ListingSink::sorted() {
  std::ranges::sort(entries_, {}, &wire::FileInfo::name);
  return entries_;
}

}  // namespace vmette::core
