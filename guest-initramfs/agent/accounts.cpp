#include "accounts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <optional>

namespace vmette::agent {
namespace {

std::string_view take_until(std::string_view& text, char end) {
  const std::string_view part = text.substr(0, text.find(end));
  text.remove_prefix(std::min(part.size() + 1, text.size()));
  return part;
}

template <size_t Count>
using Fields = std::array<std::string_view, Count>;

// The first line of colon-separated fields for which `wanted` is true.
template <size_t Count>
std::optional<Fields<Count>> find_line(std::string_view text,
                                       const std::function<bool(const Fields<Count>&)>& wanted) {
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    Fields<Count> fields;
    for (auto& field : fields) field = take_until(line, ':');
    if (!fields[0].empty() && wanted(fields)) return fields;
  }
  return std::nullopt;
}

// All ones means "leave unchanged" to the kernel and is nobody's number.
std::optional<uint32_t> number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == UINT32_MAX)
    return std::nullopt;
  return value;
}

bool lists(std::string_view members, std::string_view name) {
  while (!members.empty())
    if (take_until(members, ',') == name) return true;
  return false;
}

std::vector<gid_t> groups_of(std::string_view name, gid_t primary, std::string_view text) {
  std::vector<gid_t> groups{primary};
  find_line<4>(text, [&](const Fields<4>& line) {
    const auto gid = number(line[2]);
    if (gid && lists(line[3], name) &&
        std::find(groups.begin(), groups.end(), *gid) == groups.end())
      groups.push_back(*gid);
    return false;
  });
  return groups;
}

std::string find_group(std::string_view spec, std::string_view text, gid_t& gid) {
  const auto line = find_line<4>(text, [&](const Fields<4>& entry) { return entry[0] == spec; });
  const auto found = line ? number((*line)[2]) : number(spec);
  if (!found) return "no such group: " + std::string(spec);
  gid = *found;
  return {};
}

}  // namespace

Account root_account() {
  Account account;
  account.groups = {0};
  account.name = "root";
  account.home = "/root";
  return account;
}

std::string find_account(std::string_view spec, std::string_view passwd, std::string_view group,
                         Account& account) {
  const bool has_group = spec.find(':') != std::string_view::npos;
  std::string_view group_spec = spec;
  const std::string_view user = take_until(group_spec, ':');
  const auto uid = number(user);
  auto line = find_line<7>(passwd, [&](const Fields<7>& entry) { return entry[0] == user; });
  if (!line && uid)
    line = find_line<7>(passwd, [&](const Fields<7>& entry) { return number(entry[2]) == uid; });
  if (!line && !uid) return "no such user: " + std::string(user);
  account = Account();
  if (line) {
    const auto entry_uid = number((*line)[2]);
    const auto entry_gid = number((*line)[3]);
    if (!entry_uid || !entry_gid) return "malformed entry of user " + std::string(user);
    account.uid = *entry_uid;
    account.gid = *entry_gid;
    account.name = (*line)[0];
    if (!(*line)[5].empty()) account.home = (*line)[5];
    if (!(*line)[6].empty()) account.shell = (*line)[6];
  } else {
    account.uid = *uid;
  }
  if (!has_group) {
    account.groups = groups_of(account.name, account.gid, group);
    return {};
  }
  std::string error = find_group(group_spec, group, account.gid);
  account.groups = {account.gid};
  return error;
}

}  // namespace vmette::agent
