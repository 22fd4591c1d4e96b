#include "wire/cbor.h"

namespace vmette::wire {
namespace {

constexpr int kMaxDepth = 8;
constexpr size_t kMaxItems = 65536;

// One item's head: major type and argument. False when the bytes end or the form is not allowed.
bool read_head(Bytes in, size_t& at, uint8_t& major, uint64_t& argument) {
  if (at >= in.size()) return false;
  const auto first = static_cast<uint8_t>(in[at++]);
  major = first >> 5;
  const uint8_t low = first & 0x1f;
  if (low < 24) {
    argument = low;
    return true;
  }
  if (low > 27) return false;  // reserved, or indefinite length
  const size_t width = size_t{1} << (low - 24);
  if (in.size() - at < width) return false;
  argument = 0;
  for (size_t i = 0; i < width; ++i) argument = argument << 8 | static_cast<uint8_t>(in[at++]);
  return true;
}

// How many bytes the item has with which they begin, all that is in it included.
size_t size_of(Bytes bytes) {
  size_t at = 0;
  for (uint64_t left = 1; left > 0; --left) {
    uint8_t major = 0;
    uint64_t argument = 0;
    if (!read_head(bytes, at, major, argument)) return bytes.size();
    if (major == 2 || major == 3) at += argument;
    if (major == 4) left += argument;
    if (major == 5) left += argument * 2;
  }
  return at;
}

}  // namespace

std::string check_cbor(Bytes payload) {
  uint64_t left[kMaxDepth + 1] = {1};  // items still to come at each level
  int depth = 0;
  size_t items = 0;
  size_t at = 0;
  while (depth >= 0) {
    if (left[depth] == 0) {
      --depth;
      continue;
    }
    --left[depth];
    if (++items > kMaxItems) return "too many items in a message";
    uint8_t major = 0;
    uint64_t argument = 0;
    if (!read_head(payload, at, major, argument)) return "malformed CBOR in a message";
    const uint64_t rest = payload.size() - at;
    if (major == 2 || major == 3) {
      if (argument > rest) return "a string runs past the end of its message";
      at += argument;
    } else if (major == 4 || major == 5) {
      if (argument > rest) return "a list runs past the end of its message";
      if (depth == kMaxDepth) return "a message is nested too deeply";
      left[++depth] = major == 5 ? argument * 2 : argument;
    } else if (major == 6) {
      return "a message holds a CBOR tag";
    }
  }
  return at == payload.size() ? std::string() : "bytes follow the end of a message";
}

CborItem::CborItem(Bytes bytes) {
  size_t at = 0;
  if (!read_head(bytes, at, major_, argument_)) return;
  in_first_byte_ = at == 1;
  body_ = bytes.subspan(at);
}

CborItem::Iterator CborItem::begin() const {
  return {body_, is_map() ? argument_ * 2 : argument_};
}

CborItem::Iterator CborItem::end() const {
  return {{}, 0};
}

CborItem::Iterator& CborItem::Iterator::operator++() {
  rest_ = rest_.subspan(size_of(rest_));
  --left_;
  return *this;
}

void NumberMap::put_head(unsigned major, uint64_t argument) {
  if (argument < 24) {
    body_ += static_cast<char>(major << 5 | argument);
    return;
  }
  // The argument has 1, 2, 4 or 8 bytes.
  unsigned width = 0;
  while (width < 3 && argument >> (8U << width) != 0) ++width;
  body_ += static_cast<char>(major << 5 | (24 + width));
  for (unsigned shift = 8U << width; shift > 0; shift -= 8)
    body_ += static_cast<char>(argument >> (shift - 8));
}

}  // namespace vmette::wire
