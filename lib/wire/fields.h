// How messages are read from and written to CBOR; for the files that define messages.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "wire/messages.h"

namespace vmette::wire {

using json = nlohmann::json;

// A byte string: what it holds need not be UTF-8.
inline json bytes(const std::string& text) {
  return json::binary(std::vector<uint8_t>(text.begin(), text.end()));
}

inline std::string pack(const json& map) {
  std::string out;
  json::to_cbor(map, out);
  return out;
}

// The fields of a map in a message that check_cbor() has passed; throws std::runtime_error naming
// the key. Borrows the message.
class Fields {
 public:
  explicit Fields(const CborItem& map) {
    if (!map.is_map()) throw std::runtime_error("a message must be a map");
    fields_.reserve(map.argument());
    for (auto at = map.begin(); at != map.end(); ++at) {
      const CborItem key = *at;
      if (!key.is_text()) throw std::runtime_error("a key of a message is no text");
      fields_.emplace_back(key.string(), *++at);
    }
  }

  template <class T>
  T number(std::string_view key, T otherwise) const {
    const CborItem* item = find(key);
    if (item == nullptr) return otherwise;
    if constexpr (std::is_same_v<T, bool>) {
      if (!item->is_boolean()) wrong(key, "a boolean");
      return item->boolean();
    } else {
      if (!item->is_unsigned() && !item->is_negative()) wrong(key, "an integer");
      const uint64_t value = item->argument();
      if (value > static_cast<uint64_t>(std::numeric_limits<T>::max())) wrong(key, "in range");
      if (item->is_unsigned()) return static_cast<T>(value);
      if constexpr (std::is_unsigned_v<T>) wrong(key, "in range");
      return static_cast<T>(-1 - static_cast<T>(value));
    }
  }

  template <class E>
  E choice(std::string_view key, E otherwise, E last) const {
    const auto value = number<uint8_t>(key, static_cast<uint8_t>(otherwise));
    if (value > static_cast<uint8_t>(last)) wrong(key, "a known value");
    return static_cast<E>(value);
  }

  std::string text(std::string_view key) const {
    const CborItem* item = find(key);
    return item == nullptr ? std::string() : to_text(key, *item);
  }

  std::optional<CborItem> array(std::string_view key) const {
    const CborItem* item = find(key);
    if (item == nullptr) return std::nullopt;
    if (!item->is_array()) wrong(key, "an array");
    return *item;
  }

  std::optional<CborItem> map(std::string_view key) const {
    const CborItem* item = find(key);
    if (item == nullptr) return std::nullopt;
    if (!item->is_map()) wrong(key, "a map");
    return *item;
  }

  static std::string to_text(std::string_view key, const CborItem& item) {
    if (!item.is_text() && !item.is_bytes()) wrong(key, "a string");
    return std::string(item.string());
  }

  EnvList env(std::string_view key) const {
    EnvList list;
    const auto items = array(key);
    if (!items) return list;
    list.reserve(items->argument());
    for (const CborItem pair : *items) {
      if (!pair.is_array() || pair.argument() != 2) wrong(key, "pairs");
      auto at = pair.begin();
      std::string name = to_text(key, *at);
      list.emplace_back(std::move(name), to_text(key, *++at));
    }
    return list;
  }

 private:
  const CborItem* find(std::string_view key) const {
    for (const auto& [name, item] : fields_)
      if (name == key) return item.is_null() ? nullptr : &item;
    return nullptr;
  }

  [[noreturn]] static void wrong(std::string_view key, const char* wanted) {
    throw std::runtime_error("field \"" + std::string(key) + "\" is not " + wanted);
  }

  std::vector<std::pair<std::string_view, CborItem>> fields_;
};

inline json env_json(const EnvList& env) {
  json list = json::array();
  for (const auto& [key, value] : env) list.push_back(json::array({bytes(key), bytes(value)}));
  return list;
}

// Checks, and hands the map to `read`.
template <class T>
Decoded<T> decode_message(Bytes payload, void (*read)(const Fields&, T&)) {
  if (std::string error = check_cbor(payload); !error.empty()) return {std::nullopt, error};
  try {
    T message;
    read(Fields(CborItem(payload)), message);
    return {std::move(message), {}};
  } catch (const std::exception& error) {
    return {std::nullopt, error.what()};
  }
}

}  // namespace vmette::wire
