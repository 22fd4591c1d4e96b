#include "launch.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace vmette::agent {
namespace {

class Environment {
 public:
  void set(const std::string& key, const std::string& value) {
    const auto [found, fresh] = places_.try_emplace(key, entries_.size());
    if (fresh) entries_.emplace_back();
    entries_[found->second] = key + "=" + value;
  }
  void set_default(const char* key, const std::string& value) {
    if (!places_.contains(key)) set(key, value);
  }
  std::vector<std::string> take() { return std::move(entries_); }

 private:
  std::vector<std::string> entries_;
  std::unordered_map<std::string, size_t> places_;
};

// An empty element of PATH is the current directory.
std::vector<std::string> search(const std::string& name, std::string_view path) {
  std::vector<std::string> found;
  while (true) {
    const size_t colon = path.find(':');
    const std::string_view directory = path.substr(0, colon);
    found.push_back(std::string(directory.empty() ? "." : directory) + "/" + name);
    if (colon == std::string_view::npos) return found;
    path.remove_prefix(colon + 1);
  }
}

std::string_view value_of(const std::vector<std::string>& env, std::string_view prefix,
                          std::string_view otherwise) {
  for (const std::string& entry : env)
    if (entry.starts_with(prefix)) return std::string_view(entry).substr(prefix.size());
  return otherwise;
}

bool has_nul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

std::string check(const wire::Exec& request) {
  if (std::any_of(request.argv.begin(), request.argv.end(), has_nul))
    return "an argument contains a NUL byte";
  if (has_nul(request.cwd) || has_nul(request.user) || has_nul(request.term))
    return "cwd, user or term contains a NUL byte";
  for (const auto& [key, value] : request.env) {
    if (key.empty() || key.find('=') != std::string::npos)
      return "environment key \"" + key + "\" is empty or contains '='";
    if (has_nul(key) || has_nul(value))
      return "environment variable \"" + key + "\" contains a NUL byte";
  }
  return {};
}

}  // namespace

std::vector<std::string> build_environment(const wire::EnvList& base, const wire::Exec& request,
                                           const Account& account) {
  Environment env;
  if (!request.clear_env)
    for (const auto& [key, value] : base) env.set(key, value);
  for (const auto& [key, value] : request.env) env.set(key, value);
  if (!request.clear_env) {
    env.set_default("PATH", kDefaultPath);
    env.set_default("HOME", account.home);
    env.set_default("SHELL", account.shell);
    if (!account.name.empty()) {
      env.set_default("USER", account.name);
      env.set_default("LOGNAME", account.name);
    }
  }
  if (request.tty) {
    if (!request.term.empty()) env.set("TERM", request.term);
    env.set_default("TERM", "xterm-256color");
  }
  return env.take();
}

std::string build_launch(const wire::EnvList& base, const wire::Exec& request,
                         const Account& account, Launch& launch) {
  if (std::string error = check(request); !error.empty()) return error;
  launch.env = build_environment(base, request, account);
  if (request.shell) {
    launch.argv = {"/bin/sh", "-c", request.argv[0]};
    launch.candidates = {"/bin/sh"};
    return {};
  }
  launch.argv = request.argv;
  const std::string& name = request.argv[0];
  launch.searched = !name.empty() && name.find('/') == std::string::npos;
  launch.candidates = launch.searched ? search(name, value_of(launch.env, "PATH=", kDefaultPath))
                                      : std::vector<std::string>{name};
  return {};
}

}  // namespace vmette::agent
