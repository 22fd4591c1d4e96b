#include "vmm/qemu/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string_view>

#include "vmm/qemu/command_line.h"

namespace vmette::vmm {
namespace {

std::string file_text(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// FNV-1a.
uint64_t digest_of(const std::set<std::string>& words) {
  uint64_t digest = 0xcbf29ce484222325U;
  for (const std::string& word : words)
    for (const char c : word + ' ') {
      digest ^= static_cast<unsigned char>(c);
      digest *= 0x100000001b3U;
    }
  return digest;
}

}  // namespace

std::string host_cpu(const std::string& cpuinfo) {
  std::istringstream lines(cpuinfo);
  std::string name;
  std::set<std::string> flags;
  // Up to the empty line behind the first CPU.
  for (std::string line; std::getline(lines, line) && !line.empty();) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, line.find_first_of("\t:"));
    const std::string value = line.substr(std::min(colon + 2, line.size()));
    // aarch64 has numbers for a name.
    if (key == "model name" || key == "CPU implementer" || key == "CPU part")
      name += (name.empty() ? "" : " ") + value;
    if (key != "flags" && key != "Features") continue;
    std::istringstream words(value);
    for (std::string word; words >> word;) flags.insert(word);
  }
  return fmt::format("{}, flags {:016x}", name, digest_of(flags));
}

nlohmann::json identity_of(const Machine& machine, const std::string& version, Accel accel,
                           std::optional<uint32_t> tsc_khz) {
  std::string cpu = cpu_model(machine.arch, accel);
  if (accel == Accel::kKvm) cpu += ": " + host_cpu(file_text("/proc/cpuinfo"));
  return {{"hypervisor", "qemu"},
          {"version", version},
          {"machine", machine.arch == Arch::kX86_64 ? "microvm" : "virt"},
          {"accel", name_of(accel)},
          {"arch", name_of(machine.arch)},
          {"cpu", cpu},
          {"tsc_khz", tsc_khz.value_or(0)}};
}

}  // namespace vmette::vmm
