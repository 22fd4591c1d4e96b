#include "mount_table.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr size_t kMaxTable = 4 * 1024 * 1024;

// The table writes blanks and backslashes as \ooo.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text.size() - i > 3) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string_view take_word(std::string_view& line) {
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(word.size() + 1, line.size()));
  return word;
}

unsigned number(std::string_view text) {
  unsigned value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "id parent major:minor root point options [field]... - type source options"
bool parse_line(std::string_view line, MountEntry& entry) {
  entry.id = static_cast<int>(number(take_word(line)));
  entry.parent = static_cast<int>(number(take_word(line)));
  const std::string_view device = take_word(line);
  const size_t colon = device.find(':');
  if (colon == std::string_view::npos) return false;
  entry.device = makedev(number(device.substr(0, colon)), number(device.substr(colon + 1)));
  take_word(line);
  entry.point = unescape(take_word(line));
  while (!line.empty() && take_word(line) != "-") {
  }
  entry.type = unescape(take_word(line));
  entry.source = unescape(take_word(line));
  return !entry.type.empty();
}

}  // namespace

std::vector<MountEntry> parse_mount_table(std::string_view text) {
  std::vector<MountEntry> table;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    MountEntry entry;
    if (parse_line(line, entry)) table.push_back(std::move(entry));
  }
  return table;
}

std::vector<MountEntry> mount_table(int proc, const std::string& process) {
  const auto text = read_file(proc, (process + "/mountinfo").c_str(), kMaxTable);
  return text ? parse_mount_table(*text) : std::vector<MountEntry>();
}

}  // namespace vmette::agent
