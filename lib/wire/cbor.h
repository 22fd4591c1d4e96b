// CBOR as the messages use it: definite lengths, no tags. It is read in place and, where it is a
// map of numbers, written without building a tree: every command costs some messages, in a guest
// that may run under emulation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace vmette::wire {

using Bytes = std::span<const std::byte>;

// Whether the bytes are one item and nothing else: nesting, item count and every length are
// checked. Empty when fine, else what is wrong.
std::string check_cbor(Bytes payload);

// One item in bytes that check_cbor() has passed. Borrows them.
class CborItem {
 public:
  class Iterator;

  // The item with which the bytes begin.
  explicit CborItem(Bytes bytes);

  [[nodiscard]] bool is_unsigned() const { return major_ == 0; }
  [[nodiscard]] bool is_negative() const { return major_ == 1; }
  [[nodiscard]] bool is_bytes() const { return major_ == 2; }
  [[nodiscard]] bool is_text() const { return major_ == 3; }
  [[nodiscard]] bool is_array() const { return major_ == 4; }
  [[nodiscard]] bool is_map() const { return major_ == 5; }
  [[nodiscard]] bool is_boolean() const { return is_simple(kFalse) || is_simple(kTrue); }
  [[nodiscard]] bool is_null() const { return is_simple(kNull); }

  // The number, or for a negative one -1 minus the number; the items of an array, the pairs of a
  // map.
  [[nodiscard]] uint64_t argument() const { return argument_; }
  [[nodiscard]] bool boolean() const { return argument_ == kTrue; }
  // Of bytes or a text.
  [[nodiscard]] std::string_view string() const {
    return {reinterpret_cast<const char*>(body_.data()), static_cast<size_t>(argument_)};
  }
  // The items of an array; the keys and values of a map in turn.
  [[nodiscard]] Iterator begin() const;
  [[nodiscard]] Iterator end() const;

 private:
  static constexpr uint64_t kFalse = 20;
  static constexpr uint64_t kTrue = 21;
  static constexpr uint64_t kNull = 22;

  [[nodiscard]] bool is_simple(uint64_t value) const {
    return major_ == 7 && in_first_byte_ && argument_ == value;
  }

  uint8_t major_ = 0;
  bool in_first_byte_ = false;  // the argument; a float or a longer form otherwise
  uint64_t argument_ = 0;
  Bytes body_;  // what follows the head
};

class CborItem::Iterator {
 public:
  Iterator(Bytes rest, uint64_t left) : rest_(rest), left_(left) {}
  CborItem operator*() const { return CborItem(rest_); }
  Iterator& operator++();
  bool operator==(const Iterator& other) const { return left_ == other.left_; }

 private:
  Bytes rest_;
  uint64_t left_;
};

// Writes a map of at most 23 numbers.
class NumberMap {
 public:
  template <class T>
  void put(std::string_view key, T value) {
    ++items_;
    put_head(3, key.size());
    body_ += key;
    if constexpr (std::is_same_v<T, bool>) {
      put_head(7, value ? 21 : 20);
    } else if (std::cmp_less(value, 0)) {
      put_head(1, ~static_cast<uint64_t>(value));
    } else {
      put_head(0, static_cast<uint64_t>(value));
    }
  }

  // Leaves out what has its default.
  template <class T>
  void put_unusual(std::string_view key, T value) {
    if (value != T{}) put(key, value);
  }

  std::string take() { return body_.insert(0, 1, static_cast<char>(0xa0 + items_)); }

 private:
  void put_head(unsigned major, uint64_t argument);

  std::string body_;
  unsigned items_ = 0;
};

}  // namespace vmette::wire
