#include "core/rootfs/file_url.h"

#include <fmt/format.h>
#include <strings.h>
#include <sys/stat.h>

#include <string_view>

#include "core/rootfs/root_path.h"

namespace vmette::core {
namespace {

Error refused(std::string why) {
  return {Code::kInvalidSpec, std::move(why), "rootfs"};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// A byte that a URL's path may hold as it is.
bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("/-._~!$&'()*+,;=:@").find(c) != std::string_view::npos;
}

Result<std::string> decoded(std::string_view text) {
  std::string path;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '?' || text[at] == '#')
      return refused(fmt::format("'{0}' ends the path of a URL; write %{1:02X} for a {0} in a name",
                                 text[at], static_cast<unsigned>(text[at])));
    if (text[at] != '%') {
      path += text[at];
      continue;
    }
    const int high = at + 1 < text.size() ? hex_value(text[at + 1]) : -1;
    const int low = at + 2 < text.size() ? hex_value(text[at + 2]) : -1;
    if (high < 0 || low < 0)
      return refused(
          fmt::format("'{}' is not a percent sign and two hexadecimal digits; write %25 for a % in "
                      "a name",
                      text.substr(at, 3)));
    if (high == 0 && low == 0) return refused("%00 cannot be in a path; drop it");
    path += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return path;
}

bool exists(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0;
}

// What stands where only a host may: most likely a path that lacks its root.
Error wrong_host(const std::string& prefix, const std::string& rest, const std::string& host) {
  if (host == "~")
    return refused("~ stands for nothing in a URL; write the full path: " + prefix + "/PATH");
  const bool relative = host == "." || host == ".." || rest == host || exists(rest);
  if (relative)
    return refused(fmt::format("'{}' is a relative path; write the full one: {}", rest,
                               file_url_of(prefix, absolute_path(rest))));
  return refused(fmt::format("'{}' is another host; a file is on this one: {}/PATH", host, prefix));
}

}  // namespace

Result<std::string> path_of_file_url(const std::string& prefix, const std::string& spec) {
  const std::string rest = spec.substr(prefix.size());
  if (rest.empty()) return refused("there is no path; write " + prefix + "/PATH");
  const size_t slash = rest.find('/');
  const std::string host = rest.substr(0, slash);
  if (slash == std::string::npos || (!host.empty() && strcasecmp(host.c_str(), "localhost") != 0))
    return wrong_host(prefix, rest, host);
  return decoded(std::string_view(rest).substr(slash));
}

std::string file_url_of(const std::string& prefix, const std::string& path) {
  std::string url = prefix;
  for (const char c : path)
    url += is_plain(c) ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  return url;
}

}  // namespace vmette::core
