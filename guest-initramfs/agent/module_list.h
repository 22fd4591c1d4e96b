// Which kernel modules to load, and in which order. No I/O.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vmette::agent {

// The text of modules.dep: one line per module, `name: dep dep ...`, dependencies direct or
// transitive. Names without path and suffix; '-' and '_' mean the same.
class ModuleList {
 public:
  ModuleList() = default;
  explicit ModuleList(std::string_view text);

  // `name` and everything it needs, dependencies first, each once and none that is in `loaded`;
  // what is returned is added to `loaded`. A name that is not listed is built into the kernel (or
  // missing altogether, which the mount that needs it will say): it yields nothing.
  std::vector<std::string> resolve(std::string_view name, std::vector<std::string>& loaded) const;

  [[nodiscard]] bool empty() const { return needs_.empty(); }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> needs_;
};

}  // namespace vmette::agent
