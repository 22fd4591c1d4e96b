// How messages are read from and written to CBOR; for the files that define messages.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
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

// Reads fields of a message that was checked to be a map; throws std::runtime_error naming the key.
class Fields {
 public:
  explicit Fields(const json& map) : map_(map) {
    if (!map.is_object()) throw std::runtime_error("a message must be a map");
  }

  template <class T>
  T number(const char* key, T otherwise) const {
    const json* item = find(key);
    if (item == nullptr) return otherwise;
    if constexpr (std::is_same_v<T, bool>) {
      if (!item->is_boolean()) wrong(key, "a boolean");
      return item->get<bool>();
    } else {
      if (!item->is_number_integer()) wrong(key, "an integer");
      if (item->is_number_unsigned()) {
        const auto value = item->get<uint64_t>();
        if (value > static_cast<uint64_t>(std::numeric_limits<T>::max())) wrong(key, "in range");
        return static_cast<T>(value);
      }
      const auto value = item->get<int64_t>();
      if (std::is_unsigned_v<T> || value < static_cast<int64_t>(std::numeric_limits<T>::min()))
        wrong(key, "in range");
      return static_cast<T>(value);
    }
  }

  template <class E>
  E choice(const char* key, E otherwise, E last) const {
    const auto value = number<uint8_t>(key, static_cast<uint8_t>(otherwise));
    if (value > static_cast<uint8_t>(last)) wrong(key, "a known value");
    return static_cast<E>(value);
  }

  std::string text(const char* key) const {
    const json* item = find(key);
    return item == nullptr ? std::string() : to_text(key, *item);
  }

  const json* array(const char* key) const {
    const json* item = find(key);
    if (item != nullptr && !item->is_array()) wrong(key, "an array");
    return item;
  }

  const json* map(const char* key) const {
    const json* item = find(key);
    if (item != nullptr && !item->is_object()) wrong(key, "a map");
    return item;
  }

  static std::string to_text(const char* key, const json& item) {
    if (item.is_string()) return item.get<std::string>();
    if (!item.is_binary()) wrong(key, "a string");
    const auto& raw = item.get_binary();
    return {raw.begin(), raw.end()};
  }

  EnvList env(const char* key) const {
    EnvList list;
    const json* items = array(key);
    if (items == nullptr) return list;
    for (const json& pair : *items) {
      if (!pair.is_array() || pair.size() != 2) wrong(key, "pairs");
      list.emplace_back(to_text(key, pair[0]), to_text(key, pair[1]));
    }
    return list;
  }

 private:
  const json* find(const char* key) const {
    const auto found = map_.find(key);
    return found == map_.end() || found->is_null() ? nullptr : &*found;
  }

  [[noreturn]] static void wrong(const char* key, const char* wanted) {
    throw std::runtime_error(std::string("field \"") + key + "\" is not " + wanted);
  }

  const json& map_;
};

inline json env_json(const EnvList& env) {
  json list = json::array();
  for (const auto& [key, value] : env) list.push_back(json::array({bytes(key), bytes(value)}));
  return list;
}

// Checks, parses, and hands the map to `read`.
template <class T>
Decoded<T> decode_message(Bytes payload, void (*read)(const Fields&, T&)) {
  if (std::string error = check_cbor(payload); !error.empty()) return {std::nullopt, error};
  try {
    const auto* first = reinterpret_cast<const uint8_t*>(payload.data());
    const json map = json::from_cbor(first, first + payload.size());
    T message;
    read(Fields(map), message);
    return {std::move(message), {}};
  } catch (const std::exception& error) {
    return {std::nullopt, error.what()};
  }
}

}  // namespace vmette::wire
