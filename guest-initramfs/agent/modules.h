// Loads kernel modules from the initramfs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "module_list.h"

namespace vmette::agent {

// /lib/modules/vmette: <name>.ko files and modules.dep. All absent with a kernel that has
// everything built in; then loading does nothing.
class Modules {
 public:
  Modules();

  // Loads `name` and what it needs unless that has been done; a name that is not there counts as
  // built in. Throws SetupError of stage "modules".
  void load(std::string_view name);

 private:
  static void insert(const std::string& name);

  ModuleList list_;
  std::vector<std::string> loaded_;
};

}  // namespace vmette::agent
