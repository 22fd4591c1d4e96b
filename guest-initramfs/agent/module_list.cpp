#include "module_list.h"

#include <algorithm>

namespace vmette::agent {
namespace {

std::string normal(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

// Takes the first word off `line`; empty at its end.
std::string_view next_word(std::string_view& line) {
  constexpr std::string_view kSpace = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kSpace), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kSpace));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

ModuleList::ModuleList(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view name = line.substr(0, colon);
    name = next_word(name);
    if (name.empty()) continue;
    line.remove_prefix(colon + 1);
    auto& needs = needs_[normal(name)];
    for (std::string_view word = next_word(line); !word.empty(); word = next_word(line))
      needs.push_back(normal(word));
  }
}

std::vector<std::string> ModuleList::resolve(std::string_view name,
                                             std::vector<std::string>& loaded) const {
  std::vector<std::string> order;
  const auto found = needs_.find(normal(name));
  if (found == needs_.end()) return order;
  if (std::find(loaded.begin(), loaded.end(), found->first) != loaded.end()) return order;
  // Marked before its dependencies are, so that a cycle in the file ends.
  loaded.push_back(found->first);
  for (const std::string& need : found->second) {
    const auto before = resolve(need, loaded);
    order.insert(order.end(), before.begin(), before.end());
  }
  order.push_back(found->first);
  return order;
}

}  // namespace vmette::agent
