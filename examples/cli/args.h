#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <vmette.hpp>

namespace vmette_cli {

enum class Action { kRun, kHelp, kVersion, kProviders, kQuickstart, kSnapshot };

// A --share or --share-ro; its mount point may come before or after it.
struct Share {
  std::string tag;
  std::string path;
  bool read_only = false;
};

// What the command line asks for. Settings that need no further look are in `config` already; the
// rest is kept because a rule or the rootfs look-up needs it.
struct Arguments {
  Action action = Action::kRun;
  vmette::Config config;
  std::optional<std::string> rootfs;
  bool rootfs_ro = false;
  bool switch_root = false;
  bool scratch = false;
  bool scratch_dir = false;
  bool build_snapshot = false;
  bool resume_snapshot = false;
  bool exec = false;
  std::optional<std::string> resume_hook;
  std::optional<std::string> resume_hook_frozen;
  std::string snapshot_verb;  // with kSnapshot: info, verify or remove
  std::string snapshot_path;
  std::vector<Share> shares;
  std::map<std::string, std::string> share_targets;  // by tag
  std::vector<std::string> argv;                     // what follows --

  [[nodiscard]] bool has_command() const { return exec || !argv.empty(); }
};

// The command line cannot be understood; `message` is one line with a remedy.
struct UsageError {
  std::string message;
};

// One option. `form` names its value in the help text and is empty for a switch.
struct Flag {
  enum class Group { kAssets, kRoot, kWorkload, kRuntime, kSnapshot };
  // What a value that starts with a dash is: a forgotten value, or legitimate (commands). An option
  // of the tool is never a value.
  enum class Dash { kRefused, kAllowed };

  std::string_view name;
  std::string_view form;
  std::string_view help;
  Group group;
  Dash dash;
  void (*apply)(Arguments& arguments, const Flag& flag, const std::string& value);
};

// Every option, in the order of the help text.
std::span<const Flag> flags();

// Understands `words` (argv without the program's name). Throws UsageError.
Arguments parse(const std::vector<std::string>& words);

}  // namespace vmette_cli
