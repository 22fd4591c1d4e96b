#include "wire/calls.h"

#include "wire/fields.h"

namespace vmette::wire {
namespace {

void read(const Fields& in, Call& out) {
  out.op = in.text("op");
  out.path = in.text("path");
  out.to = in.text("to");
  out.flags = in.number<uint32_t>("flags", 0);
  out.mode = in.number<uint32_t>("mode", 0);
  out.offset = in.number<uint64_t>("offset", 0);
  out.length = in.number<uint64_t>("length", UINT64_MAX);
  out.uid = in.number<int64_t>("uid", -1);
  out.gid = in.number<int64_t>("gid", -1);
  out.mtime_ns = in.number<int64_t>("mtime_ns", 0);
}

void read(const Fields& in, FileInfo& out) {
  out.name = in.text("name");
  out.mode = in.number<uint32_t>("mode", 0);
  out.uid = in.number<uint32_t>("uid", 0);
  out.gid = in.number<uint32_t>("gid", 0);
  out.size = in.number<uint64_t>("size", 0);
  out.blocks = in.number<uint64_t>("blocks", 0);
  out.inode = in.number<uint64_t>("inode", 0);
  out.links = in.number<uint64_t>("links", 0);
  out.device = in.number<uint64_t>("device", 0);
  out.mtime_ns = in.number<int64_t>("mtime_ns", 0);
  out.target = in.text("target");
}

void read(const Fields& in, GuestStats& out) {
  out.uptime_us = in.number<uint64_t>("uptime_us", 0);
  out.memory_kib = in.number<uint64_t>("memory_kib", 0);
  out.memory_available_kib = in.number<uint64_t>("memory_available_kib", 0);
  out.load_milli[0] = in.number<uint32_t>("load_1", 0);
  out.load_milli[1] = in.number<uint32_t>("load_5", 0);
  out.load_milli[2] = in.number<uint32_t>("load_15", 0);
  out.processes = in.number<uint32_t>("processes", 0);
  out.root_bytes = in.number<uint64_t>("root_bytes", 0);
  out.root_available_bytes = in.number<uint64_t>("root_available_bytes", 0);
}

void read(const Fields& in, CallResult& out) {
  out.bytes = in.number<uint64_t>("bytes", 0);
  if (const auto info = in.map("info")) read(Fields(*info), out.info.emplace());
  if (const auto stats = in.map("stats")) read(Fields(*stats), out.stats.emplace());
}

json to_json(const FileInfo& in) {
  json map = json::object();
  const auto put = [&](const char* key, auto value) {
    if (value != 0) map[key] = value;
  };
  if (!in.name.empty()) map["name"] = bytes(in.name);
  put("mode", in.mode);
  put("uid", in.uid);
  put("gid", in.gid);
  put("size", in.size);
  put("blocks", in.blocks);
  put("inode", in.inode);
  put("links", in.links);
  put("device", in.device);
  put("mtime_ns", in.mtime_ns);
  if (!in.target.empty()) map["target"] = bytes(in.target);
  return map;
}

json to_json(const GuestStats& in) {
  return {{"uptime_us", in.uptime_us},
          {"memory_kib", in.memory_kib},
          {"memory_available_kib", in.memory_available_kib},
          {"load_1", in.load_milli[0]},
          {"load_5", in.load_milli[1]},
          {"load_15", in.load_milli[2]},
          {"processes", in.processes},
          {"root_bytes", in.root_bytes},
          {"root_available_bytes", in.root_available_bytes}};
}

}  // namespace

template <>
Decoded<Call> decode(Bytes payload) {
  return decode_message<Call>(payload, read);
}
template <>
Decoded<FileInfo> decode(Bytes payload) {
  return decode_message<FileInfo>(payload, read);
}
template <>
Decoded<CallResult> decode(Bytes payload) {
  return decode_message<CallResult>(payload, read);
}

std::string encode(const Call& in) {
  json map = {{"op", in.op}};
  if (!in.path.empty()) map["path"] = bytes(in.path);
  if (!in.to.empty()) map["to"] = bytes(in.to);
  if (in.flags != 0) map["flags"] = in.flags;
  if (in.mode != 0) map["mode"] = in.mode;
  if (in.offset != 0) map["offset"] = in.offset;
  if (in.length != UINT64_MAX) map["length"] = in.length;
  if (in.uid >= 0) map["uid"] = in.uid;
  if (in.gid >= 0) map["gid"] = in.gid;
  if (in.mtime_ns != 0) map["mtime_ns"] = in.mtime_ns;
  return pack(map);
}

std::string encode(const FileInfo& in) {
  return pack(to_json(in));
}

void append_entry(std::string& stream, const FileInfo& entry) {
  const std::string record = encode(entry);
  for (int shift = 0; shift < 32; shift += 8)
    stream += static_cast<char>((record.size() >> shift) & 0xff);
  stream += record;
}

bool is_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

std::string encode(const CallResult& in) {
  json map = json::object();
  if (in.bytes != 0) map["bytes"] = in.bytes;
  if (in.info) map["info"] = to_json(*in.info);
  if (in.stats) map["stats"] = to_json(*in.stats);
  return pack(map);
}

}  // namespace vmette::wire
