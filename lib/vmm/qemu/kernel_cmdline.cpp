#include "vmm/qemu/kernel_cmdline.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "vmm/qemu/failure.h"

namespace vmette::vmm {
namespace {

// As the kernel cuts: at spaces outside double quotes.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  bool quoted = false;
  size_t begin = 0;
  for (size_t i = 0; i <= line.size(); ++i) {
    if (i < line.size() && line[i] == '"') quoted = !quoted;
    if (i < line.size() && (line[i] != ' ' || quoted)) continue;
    if (i > begin) words.push_back(line.substr(begin, i - begin));
    begin = i + 1;
  }
  return words;
}

// The kernel takes '-' and '_' in a parameter's name for the same.
std::string name_in(std::string_view word) {
  std::string name(word.substr(0, word.find('=')));
  std::ranges::replace(name, '-', '_');
  return name;
}

std::vector<std::string> wanted_words(Arch arch, Accel accel, std::optional<uint32_t> tsc_khz) {
  std::vector<std::string> wanted = {"panic=-1", "random.trust_cpu=on"};
  if (arch == Arch::kX86_64) wanted.emplace_back("reboot=t");
  if (accel == Accel::kTcg) {
    if (arch == Arch::kX86_64 && tsc_khz) {
      wanted.push_back(fmt::format("tsc_early_khz={}", *tsc_khz));
      wanted.emplace_back("tsc=reliable");
    }
    wanted.insert(wanted.end(), {"nokaslr", "mitigations=off"});
  }
  return wanted;
}

}  // namespace

std::string kernel_cmdline(const std::string& base, Arch arch, Accel accel,
                           std::optional<uint32_t> tsc_khz) {
  const std::vector<std::string_view> words = words_of(base);
  const auto init_arguments = std::ranges::find(words, std::string_view("--"));
  const std::vector<std::string_view> given(words.begin(), init_arguments);

  std::string line = fmt::format("{}", fmt::join(given, " "));
  const auto append = [&line](std::string_view word) {
    if (!line.empty()) line += ' ';
    line += word;
  };
  const std::string console = arch == Arch::kX86_64 ? "console=ttyS0" : "console=ttyAMA0";
  const auto is_console = [&console](std::string_view word) {
    return word == console || word.starts_with(console + ",");
  };
  if (std::ranges::none_of(given, is_console)) append(console);
  for (const std::string& word : wanted_words(arch, accel, tsc_khz)) {
    const auto same = [&word](std::string_view other) { return name_in(other) == name_in(word); };
    if (std::ranges::none_of(given, same)) append(word);
  }
  for (auto word = init_arguments; word != words.end(); ++word) append(*word);

  if (line.size() > kMaxCmdlineBytes)
    throw Failure("bad_request",
                  fmt::format("cmdline: {} bytes with what the machine adds; a kernel keeps {}",
                              line.size(), kMaxCmdlineBytes));
  return line;
}

}  // namespace vmette::vmm
