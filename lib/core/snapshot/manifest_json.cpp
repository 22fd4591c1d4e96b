#include "core/snapshot/manifest_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>
#include <utility>

namespace vmette::core {
namespace {

using nlohmann::json;

constexpr int kDeepest = 4;  // of the objects and lists in one another

// JSON holds UTF-8 only: any other text is written with %XX for what is not plain, and for every
// text with a percent sign the same, so that there is one way to write each.
std::string encoded(const std::string& text) {
  if (text.find('%') == std::string::npos && is_utf8(text)) return text;
  std::string out;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%')
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// False when nothing is encoded like this.
bool decode(const std::string& text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low < 0) return false;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return encoded(out) == text;
}

template <class Visitor, class T>
void visit(Visitor& visitor, T& value);

class Writer {
 public:
  json object = json::object();

  void field(const char* key, const std::string& value) { object[key] = encoded(value); }
  void field(const char* key, bool value) { object[key] = value; }
  template <class Number>
    requires std::is_integral_v<Number>
  void field(const char* key, Number value) {
    object[key] = value;
  }
  void field(const char* key, const wire::EnvList& list) {
    json items = json::array();
    for (const auto& [name, value] : list)
      items.push_back(json::array({encoded(name), encoded(value)}));
    object[key] = std::move(items);
  }
  template <class Item>
  void field(const char* key, const std::optional<Item>& item) {
    object[key] = item ? written(*item) : json(nullptr);
  }
  template <class Item>
  void field(const char* key, const std::vector<Item>& list) {
    json items = json::array();
    for (const Item& item : list) items.push_back(written(item));
    object[key] = std::move(items);
  }
  template <class Struct>
    requires std::is_class_v<Struct>
  void field(const char* key, const Struct& value) {
    object[key] = written(value);
  }
  // A struct whose fields stand beside those of what holds it.
  template <class Struct>
  void beside(const Struct& value) {
    visit(*this, value);
  }

 private:
  template <class Struct>
  static json written(const Struct& value) {
    Writer writer;
    visit(writer, value);
    return std::move(writer.object);
  }
};

// Reads one object and keeps the first problem.
class Reader {
 public:
  Reader(const json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {}

  void field(const char* key, std::string& out) {
    if (const json* item = find(key)) text(*item, key, out);
  }
  void field(const char* key, bool& out) {
    const json* item = find(key);
    if (item == nullptr) return;
    if (!item->is_boolean()) return wrong(key, "must be true or false");
    out = item->get<bool>();
  }
  template <class Number>
    requires std::is_integral_v<Number>
  void field(const char* key, Number& out) {
    const json* item = find(key);
    if (item == nullptr) return;
    using Limits = std::numeric_limits<Number>;
    const bool fits = item->is_number_unsigned()
                          ? item->get<uint64_t>() <= static_cast<uint64_t>(Limits::max())
                          : std::is_signed_v<Number> && item->is_number_integer() &&
                                item->get<int64_t>() >= static_cast<int64_t>(Limits::min());
    if (!fits)
      return wrong(
          key, fmt::format("must be a whole number from {} to {}", Limits::min(), Limits::max()));
    out = item->get<Number>();
  }
  void field(const char* key, wire::EnvList& out) {
    const json* list = find_list(key);
    for (size_t i = 0; list != nullptr && i < list->size() && problem_.empty(); ++i) {
      const std::string where = fmt::format("{}[{}]", key, i);
      const json& pair = (*list)[i];
      if (!pair.is_array() || pair.size() != 2)
        return wrong(where, "must be a list of a name and a value");
      auto& [name, value] = out.emplace_back();
      text(pair[0], where, name);
      text(pair[1], where, value);
    }
  }
  template <class Item>
  void field(const char* key, std::optional<Item>& out) {
    const json* item = find(key);
    if (item != nullptr && !item->is_null()) read(*item, key, out.emplace());
  }
  template <class Item>
  void field(const char* key, std::vector<Item>& out) {
    const json* list = find_list(key);
    for (size_t i = 0; list != nullptr && i < list->size() && problem_.empty(); ++i)
      read((*list)[i], fmt::format("{}[{}]", key, i), out.emplace_back());
  }
  template <class Struct>
    requires std::is_class_v<Struct>
  void field(const char* key, Struct& out) {
    if (const json* item = find(key)) read(*item, key, out);
  }
  template <class Struct>
  void beside(Struct& value) {
    visit(*this, value);
  }

  // The first problem, or a key that nobody asked for.
  std::string finish() {
    for (const auto& item : object_.items())
      if (problem_.empty() && !known_.contains(item.key())) wrong(item.key(), "is not known");
    return problem_;
  }

 private:
  const json* find(const char* key) {
    known_.insert(key);
    if (!problem_.empty()) return nullptr;
    const auto at = object_.find(key);
    if (at != object_.end()) return &*at;
    wrong(key, "is missing");
    return nullptr;
  }
  const json* find_list(const char* key) {
    const json* list = find(key);
    if (list == nullptr || list->is_array()) return list;
    wrong(key, "must be a list");
    return nullptr;
  }
  void text(const json& item, const std::string& key, std::string& out) {
    if (!item.is_string())
      wrong(key, "must be a string");
    else if (!decode(item.get_ref<const std::string&>(), out))
      wrong(key, "has a percent sign that encodes no byte");
  }
  template <class Struct>
  void read(const json& item, const std::string& key, Struct& out) {
    if (!item.is_object()) return wrong(key, "must be an object");
    Reader reader(item, fmt::format("{}{}.", prefix_, key));
    visit(reader, out);
    problem_ = reader.finish();
  }
  void wrong(const std::string& key, const std::string& what) {
    if (problem_.empty()) problem_ = fmt::format("{}{}: {}", prefix_, key, what);
  }

  const json& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> known_;
  std::string problem_;
};

// The one place that knows the keys: both ways go through it.
template <class Visitor, class T>
void visit(Visitor& v, T& value) {
  using Struct = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Struct, FileStamp>) {
    v.field("size", value.size);
    v.field("mtime_ns", value.mtime_ns);
    v.field("inode", value.inode);
    v.field("sha256", value.sha256);
  } else if constexpr (std::is_same_v<Struct, BootFile>) {
    v.field("path", value.path);
    v.beside(value.stamp);
  } else if constexpr (std::is_same_v<Struct, MachineIdentity>) {
    v.field("hypervisor", value.hypervisor);
    v.field("version", value.version);
    v.field("machine", value.machine);
    v.field("accel", value.accel);
    v.field("arch", value.arch);
    v.field("cpu", value.cpu);
    v.field("tsc_khz", value.tsc_khz);
  } else if constexpr (std::is_same_v<Struct, SnapshotRoot>) {
    v.field("image", value.image);
    v.field("fstype", value.fstype);
    v.field("path", value.path);
    v.field("read_only", value.read_only);
    v.beside(value.stamp);
  } else if constexpr (std::is_same_v<Struct, SnapshotDisk>) {
    v.field("id", value.id);
    v.field("path", value.path);
    v.field("read_only", value.read_only);
    v.field("fstype", value.fstype);
    v.field("file", value.file);
    v.beside(value.stamp);
  } else if constexpr (std::is_same_v<Struct, SnapshotScratch>) {
    v.field("mib", value.mib);
    v.field("file", value.file);
  } else if constexpr (std::is_same_v<Struct, SnapshotShare>) {
    v.field("tag", value.tag);
    v.field("path", value.path);
    v.field("target", value.target);
    v.field("read_only", value.read_only);
    v.field("device", value.device);
  } else if constexpr (std::is_same_v<Struct, SnapshotFile>) {
    v.field("name", value.name);
    v.field("size", value.size);
    v.field("sha256", value.sha256);
  } else {
    static_assert(std::is_same_v<Struct, SnapshotManifest>);
    v.field("vmette", value.vmette);
    v.field("created_at", value.created_at);
    v.field("identity", value.identity);
    v.field("kernel", value.kernel);
    v.field("initramfs", value.initramfs);
    v.field("protocol", value.protocol);
    v.field("cmdline", value.cmdline);
    v.field("vcpus", value.vcpus);
    v.field("memory_mib", value.memory_mib);
    v.field("root", value.root);
    v.field("disks", value.disks);
    v.field("scratch", value.scratch);
    v.field("shares", value.shares);
    v.field("resume_shares", value.resume_shares);
    v.field("switch_root", value.switch_root);
    v.field("hostname", value.hostname);
    v.field("env", value.env);
    v.field("image_env", value.image_env);
    v.field("files", value.files);
    v.field("pause_us", value.pause_us);
  }
}

}  // namespace

json manifest_to_json(const SnapshotManifest& manifest) {
  Writer writer;
  visit(writer, manifest);
  return std::move(writer.object);
}

std::string manifest_from_json(const json& object, SnapshotManifest& manifest) {
  if (!object.is_object()) return "is not a JSON object";
  Reader reader(object, "");
  // First: what another format has is no concern of this reader.
  uint32_t format = 0;
  reader.field("format", format);
  const auto given = object.find("format");
  if (given != object.end() && *given != kSnapshotFormat && (given->is_number()))
    return fmt::format("format: {} is none that vmette {} reads; it reads {}", given->dump(),
                       VMETTE_VERSION, kSnapshotFormat);
  visit(reader, manifest);
  reader.field("digest", manifest.digest);
  return reader.finish();
}

std::string parse_strictly(const std::string& text, json& value) {
  std::string problem;
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    if (event == Event::object_start) open.emplace_back();
    if (event == Event::object_end && !open.empty()) open.pop_back();
    if (event == Event::key && !open.empty()) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!open.back().insert(key).second) problem = fmt::format("{}: is there twice", key);
    }
    if (depth > kDeepest) problem = "is nested too deeply";
    return problem.empty();
  };
  value = json::parse(text, watch, false);
  if (problem.empty() && value.is_discarded()) problem = "is not JSON";
  return problem;
}

}  // namespace vmette::core
