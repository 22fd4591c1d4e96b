#include "vmm/machine.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <type_traits>

namespace vmette::vmm {
namespace {

using json = nlohmann::json;
using Problem = std::optional<std::string>;

constexpr size_t kMaxPathBytes = 4096;

// Reads the fields of one JSON object and remembers the first problem.
class Reader {
 public:
  Reader(const json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {}

  void read(const char* key, std::string& out) {
    if (const json* item = find(key)) {
      if (!item->is_string()) return wrong(key, "must be a string");
      out = item->get<std::string>();
    }
  }

  void read(const char* key, bool& out) {
    if (const json* item = find(key)) {
      if (!item->is_boolean()) return wrong(key, "must be true or false");
      out = item->get<bool>();
    }
  }

  template <class Number>
    requires std::is_integral_v<Number>
  void read(const char* key, Number& out) {
    if (const json* item = find(key)) {
      constexpr auto kLargest = static_cast<uint64_t>(std::numeric_limits<Number>::max());
      // A number that never was text may be of the signed kind.
      const bool whole =
          item->is_number_unsigned() || (item->is_number_integer() && item->get<int64_t>() >= 0);
      if (!whole || item->get<uint64_t>() > kLargest)
        return wrong(key, fmt::format("must be a whole number from 0 to {}", kLargest));
      out = static_cast<Number>(item->get<uint64_t>());
    }
  }

  template <class Choice>
  void read(const char* key, Choice& out, std::optional<Choice> (*named)(std::string_view),
            const char* legal) {
    std::string text;
    read(key, text);
    if (text.empty()) return;
    const auto choice = named(text);
    if (!choice) return wrong(key, fmt::format("\"{}\" is none of {}", text, legal));
    out = *choice;
  }

  // An object that `parse` reads through a Reader of its own.
  template <class Item, class Parse>
  void read(const char* key, std::optional<Item>& out, Parse parse) {
    const json* item = find(key);
    if (item == nullptr) return;
    if (!item->is_object()) return wrong(key, "must be an object");
    Reader reader(*item, fmt::format("{}{}.", prefix_, key));
    parse(reader, out.emplace());
    problem_ = reader.finish();
  }

  // Each element is an object that `parse` reads through a Reader of its own.
  template <class Item, class Parse>
  void read(const char* key, std::vector<Item>& out, Parse parse) {
    const json* list = find(key);
    if (list == nullptr) return;
    if (!list->is_array()) return wrong(key, "must be a list");
    for (size_t i = 0; i < list->size() && !problem_; ++i) {
      const std::string where = fmt::format("{}[{}]", key, i);
      if (!(*list)[i].is_object()) return wrong(where, "must be an object");
      Reader reader((*list)[i], where + ".");
      parse(reader, out.emplace_back());
      problem_ = reader.finish();
    }
  }

  void ignore(const char* key) { find(key); }

  // The first problem, or a field that nobody asked for.
  Problem finish() {
    for (const auto& item : object_.items())
      if (!problem_ && !known_.contains(item.key())) wrong(item.key(), "unknown field");
    return problem_;
  }

 private:
  const json* find(const char* key) {
    known_.insert(key);
    const auto at = object_.find(key);
    return at == object_.end() || problem_ ? nullptr : &*at;
  }

  void wrong(std::string_view key, std::string_view what) {
    problem_ = fmt::format("{}{}: {}", prefix_, key, what);
  }

  const json& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> known_;
  Problem problem_;
};

bool is_utf8(const std::string& text) {
  try {
    return !json(text).dump().empty();
  } catch (const json::exception&) {
    return false;
  }
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

Problem check_text(std::string_view field, const std::string& text) {
  if (text.find('\0') != std::string::npos)
    return fmt::format("{}: contains a NUL byte; remove it", field);
  if (!is_utf8(text)) return fmt::format("{}: is not UTF-8; rename the file", field);
  return std::nullopt;
}

Problem check_path(std::string_view field, const std::string& path) {
  if (path.empty()) return fmt::format("{}: is missing; give an absolute path", field);
  if (auto problem = check_text(field, path)) return problem;
  if (path.size() >= kMaxPathBytes) return fmt::format("{}: is longer than a path can be", field);
  if (path.front() != '/')
    return fmt::format("{}: \"{}\" is relative; give an absolute path", field, path);
  return std::nullopt;
}

Problem check_range(std::string_view field, uint32_t value, uint32_t low, uint32_t high) {
  if (value >= low && value <= high) return std::nullopt;
  return fmt::format("{}: {} is out of range; use {} to {}", field, value, low, high);
}

// Names that the guest looks a device up by: short, printable and each only once.
Problem check_name(std::string_view field, const std::string& name, size_t max_bytes,
                   std::set<std::string>& seen) {
  if (name.empty() || name.size() > max_bytes || !is_printable(name) ||
      name.find('/') != std::string::npos)
    return fmt::format("{}: \"{}\" must be 1 to {} printable ASCII characters without a slash",
                       field, is_utf8(name) ? name : "?", max_bytes);
  if (!seen.insert(name).second)
    return fmt::format("{}: \"{}\" is used twice; choose another", field, name);
  return std::nullopt;
}

Problem check_cmdline(const std::string& cmdline) {
  if (auto problem = check_text("cmdline", cmdline)) return problem;
  const bool control = std::ranges::any_of(
      cmdline, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
  if (control) return "cmdline: contains a control character; write one line separated by spaces";
  if (cmdline.size() > kMaxCmdlineBytes)
    return fmt::format("cmdline: {} bytes are too long; a kernel keeps {}", cmdline.size(),
                       kMaxCmdlineBytes);
  return std::nullopt;
}

Problem check_disk(const Disk& disk, size_t index, std::set<std::string>& serials) {
  const auto field = [index](const char* key) { return fmt::format("disks[{}].{}", index, key); };
  if (auto problem = check_path(field("path"), disk.path)) return problem;
  if (auto problem = check_name(field("serial"), disk.serial, kMaxSerialBytes, serials))
    return problem;
  if (disk.copy_in.empty()) return std::nullopt;
  if (auto problem = check_path(field("copy_in"), disk.copy_in)) return problem;
  if (disk.read_only)
    return fmt::format("{}: a read-only disk needs no copy; leave one of the two out",
                       field("copy_in"));
  return std::nullopt;
}

Problem check_scratch(const Scratch& scratch, bool restored, std::set<std::string>& serials) {
  if (auto problem = check_path("scratch.directory", scratch.directory)) return problem;
  if (auto problem = check_name("scratch.serial", scratch.serial, kMaxSerialBytes, serials))
    return problem;
  if (scratch.mib < kMinScratchMib || scratch.mib > kMaxScratchMib)
    return fmt::format("scratch.mib: {} is out of range; use {} to {}", scratch.mib, kMinScratchMib,
                       kMaxScratchMib);
  if (restored && scratch.image.empty())
    return "scratch.image: is missing; a machine that is restored goes on with its own disk";
  return scratch.image.empty() ? std::nullopt : check_path("scratch.image", scratch.image);
}

Problem check_share(const Share& share, size_t index, bool can_be_saved,
                    std::set<std::string>& tags) {
  const std::string field = fmt::format("shares[{}].tag", index);
  if (auto problem = check_name(field, share.tag, kMaxTagBytes, tags)) return problem;
  if (can_be_saved && share.path.empty()) return std::nullopt;
  return check_path(fmt::format("shares[{}].path", index), share.path);
}

Problem check_devices(const Machine& machine) {
  std::set<std::string> serials;
  for (size_t i = 0; i < machine.disks.size(); ++i)
    if (auto problem = check_disk(machine.disks[i], i, serials)) return problem;
  if (machine.scratch)
    if (auto problem = check_scratch(*machine.scratch, !machine.restore.empty(), serials))
      return problem;
  std::set<std::string> tags;
  for (size_t i = 0; i < machine.shares.size(); ++i)
    if (auto problem = check_share(machine.shares[i], i, machine.can_be_saved(), tags))
      return problem;
  const size_t count =
      machine.disks.size() + machine.shares.size() + (machine.scratch ? size_t{1} : 0);
  if (count > kDeviceLimit - 1)
    return fmt::format("disks, shares: {} devices are too many; at most {} fit", count,
                       kDeviceLimit - 1);
  return std::nullopt;
}

}  // namespace

std::string_view name_of(Arch arch) {
  return arch == Arch::kX86_64 ? "x86_64" : "aarch64";
}

std::string_view name_of(Accel accel) {
  constexpr std::array<std::string_view, 3> kNames = {"auto", "kvm", "tcg"};
  return kNames.at(static_cast<size_t>(accel));
}

std::optional<Arch> arch_named(std::string_view name) {
  for (const Arch arch : {Arch::kX86_64, Arch::kAarch64})
    if (name == name_of(arch)) return arch;
  return std::nullopt;
}

std::optional<Accel> accel_named(std::string_view name) {
  for (const Accel accel : {Accel::kAuto, Accel::kKvm, Accel::kTcg})
    if (name == name_of(accel)) return accel;
  return std::nullopt;
}

std::string_view name_of(ShareTransport transport) {
  constexpr std::array<std::string_view, 3> kNames = {"auto", "virtiofs", "9p"};
  return kNames.at(static_cast<size_t>(transport));
}

std::optional<ShareTransport> share_transport_named(std::string_view name) {
  for (const auto transport :
       {ShareTransport::kAuto, ShareTransport::kVirtiofs, ShareTransport::k9p})
    if (name == name_of(transport)) return transport;
  return std::nullopt;
}

Arch host_arch() {
#if defined(__aarch64__)
  return Arch::kAarch64;
#else
  return Arch::kX86_64;
#endif
}

Problem validate(const Machine& machine) {
  if (machine.version.empty() || !is_printable(machine.version))
    return "version: is missing; give the version of the library";
  if (machine.parent_pid <= 0)
    return fmt::format("parent_pid: {} is no process; give the caller's pid", machine.parent_pid);
  if (auto problem = check_path("kernel", machine.kernel)) return problem;
  if (!machine.initramfs.empty())
    if (auto problem = check_path("initramfs", machine.initramfs)) return problem;
  if (auto problem = check_cmdline(machine.cmdline)) return problem;
  if (auto problem = check_range("vcpus", machine.vcpus, 1, kMaxVcpus)) return problem;
  if (auto problem = check_range("memory_mib", machine.memory_mib, kMinMemoryMib, kMaxMemoryMib))
    return problem;
  if (auto problem = check_text("qemu", machine.qemu)) return problem;
  if (!machine.restore.empty())
    if (auto problem = check_path("restore", machine.restore)) return problem;
  return check_devices(machine);
}

Problem why_not_snapshottable(const Machine& machine) {
  for (const Share& share : machine.shares)
    if (share.transport == ShareTransport::kVirtiofs)
      return fmt::format(
          "share '{}': a machine with virtio-fs cannot be saved; let its transport be auto or 9p",
          share.path.empty() ? share.tag : share.path);
  for (const Disk& disk : machine.disks) {
    struct stat info{};
    if (!disk.read_only && stat(disk.path.c_str(), &info) == 0 && S_ISBLK(info.st_mode))
      return fmt::format(
          "disk '{}': a block device that the machine writes cannot be saved with it; attach it "
          "read-only or use an image file",
          disk.path);
  }
  return std::nullopt;
}

json to_json(const Machine& machine) {
  json disks = json::array();
  for (const Disk& disk : machine.disks)
    disks.push_back({{"path", disk.path},
                     {"serial", disk.serial},
                     {"read_only", disk.read_only},
                     {"copy_in", disk.copy_in}});
  json shares = json::array();
  for (const Share& share : machine.shares)
    shares.push_back({{"tag", share.tag},
                      {"path", share.path},
                      {"read_only", share.read_only},
                      {"transport", name_of(share.transport)},
                      {"stable", share.stable}});
  json all = {{"version", machine.version},
              {"parent_pid", machine.parent_pid},
              {"arch", name_of(machine.arch)},
              {"kernel", machine.kernel},
              {"initramfs", machine.initramfs},
              {"cmdline", machine.cmdline},
              {"vcpus", machine.vcpus},
              {"memory_mib", machine.memory_mib},
              {"accel", name_of(machine.accel)},
              {"qemu", machine.qemu},
              {"disks", std::move(disks)},
              {"shares", std::move(shares)},
              {"snapshottable", machine.snapshottable},
              {"restore", machine.restore}};
  if (machine.scratch)
    all["scratch"] = {{"directory", machine.scratch->directory},
                      {"serial", machine.scratch->serial},
                      {"mib", machine.scratch->mib},
                      {"image", machine.scratch->image}};
  return all;
}

Problem from_json(const json& fields, Machine& machine) {
  if (!fields.is_object()) return "the machine must be an object";
  Reader reader(fields, "");
  reader.ignore("id");
  reader.ignore("op");
  reader.read("version", machine.version);
  reader.read("parent_pid", machine.parent_pid);
  reader.read("arch", machine.arch, arch_named, "x86_64, aarch64");
  reader.read("kernel", machine.kernel);
  reader.read("initramfs", machine.initramfs);
  reader.read("cmdline", machine.cmdline);
  reader.read("vcpus", machine.vcpus);
  reader.read("memory_mib", machine.memory_mib);
  reader.read("accel", machine.accel, accel_named, "auto, kvm, tcg");
  reader.read("qemu", machine.qemu);
  reader.read("disks", machine.disks, [](Reader& item, Disk& disk) {
    item.read("path", disk.path);
    item.read("serial", disk.serial);
    item.read("read_only", disk.read_only);
    item.read("copy_in", disk.copy_in);
  });
  reader.read("scratch", machine.scratch, [](Reader& item, Scratch& scratch) {
    item.read("directory", scratch.directory);
    item.read("serial", scratch.serial);
    item.read("mib", scratch.mib);
    item.read("image", scratch.image);
  });
  reader.read("shares", machine.shares, [](Reader& item, Share& share) {
    item.read("tag", share.tag);
    item.read("path", share.path);
    item.read("read_only", share.read_only);
    item.read("transport", share.transport, share_transport_named, "auto, virtiofs, 9p");
    item.read("stable", share.stable);
  });
  reader.read("snapshottable", machine.snapshottable);
  reader.read("restore", machine.restore);
  if (auto problem = reader.finish()) return problem;
  return validate(machine);
}

}  // namespace vmette::vmm
