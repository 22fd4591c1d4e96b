#include "args.h"

#include <algorithm>

namespace vmette_cli {
namespace {

const Flag* find(std::string_view name) {
  const auto all = flags();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Flag& flag) { return flag.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::optional<Action> action_of(std::string_view word) {
  if (word == "-h" || word == "--help") return Action::kHelp;
  if (word == "-V" || word == "--version") return Action::kVersion;
  return std::nullopt;
}

// A negative number and a lone dash are values.
bool looks_like_flag(std::string_view word) {
  if (word.starts_with("--")) return true;
  return word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9');
}

// An option where a value belongs: the value was forgotten.
bool is_forgotten(const Flag& flag, std::string_view word) {
  if (word == "--" || find(word) != nullptr || action_of(word)) return true;
  return flag.dash == Flag::Dash::kRefused && looks_like_flag(word);
}

std::string take_value(const Flag& flag, const std::vector<std::string>& words, std::size_t index) {
  const std::string name(flag.name);
  const std::string remedy = "; write " + name + " " + std::string(flag.form);
  if (index >= words.size()) throw UsageError{name + " expects a value" + remedy};
  const std::string& word = words[index];
  if (is_forgotten(flag, word)) {
    throw UsageError{name + " expects a value but got the option '" + word + "'" + remedy};
  }
  return word;
}

[[noreturn]] void fail_unknown(const std::string& word) {
  const auto equals = word.find('=');
  if (equals != std::string::npos) {
    const Flag* flag = find(word.substr(0, equals));
    if (flag != nullptr && !flag->form.empty()) {
      throw UsageError{"unknown option '" + word + "'; write the value as a word of its own: " +
                       word.substr(0, equals) + " " + word.substr(equals + 1)};
    }
  }
  if (looks_like_flag(word)) {
    throw UsageError{"unknown option '" + word + "'; vmette --help lists all of them"};
  }
  throw UsageError{"unexpected argument '" + word + "'; a command goes after --: vmette -- " +
                   word};
}

std::optional<Action> subcommand_of(std::string_view word) {
  if (word == "version") return Action::kVersion;
  if (word == "providers") return Action::kProviders;
  if (word == "quickstart") return Action::kQuickstart;
  return action_of(word);
}

Arguments take_snapshot_words(const std::vector<std::string>& words) {
  Arguments arguments;
  arguments.action = Action::kSnapshot;
  const std::string verb = words.size() > 1 ? words[1] : "";
  if (verb != "info" && verb != "verify" && verb != "remove") {
    throw UsageError{"snapshot expects info, verify or remove, got '" + verb +
                     "'; write vmette snapshot info PATH"};
  }
  if (words.size() != 3) {
    throw UsageError{"snapshot " + verb + " expects one path; write vmette snapshot " + verb +
                     " PATH"};
  }
  arguments.snapshot_verb = verb;
  arguments.snapshot_path = words[2];
  return arguments;
}

void take_command(Arguments& arguments, const std::vector<std::string>& words, std::size_t first) {
  arguments.argv.assign(words.begin() + static_cast<std::ptrdiff_t>(first), words.end());
  if (arguments.argv.empty()) {
    throw UsageError{"-- expects a command; write vmette -- CMD ARG..."};
  }
  arguments.config.set_exec_argv(arguments.argv);
}

void set_resume_hooks(Arguments& arguments) {
  const auto& frozen = arguments.resume_hook_frozen;
  const auto& running = arguments.resume_hook;
  if (!frozen && !running) return;
  if (!arguments.resume_snapshot) {
    throw UsageError{
        "--resume-hook and --resume-hook-frozen are for a machine that is resumed; add "
        "--resume-snapshot PATH"};
  }
  arguments.config.set_resume_hooks(
      frozen ? vmette::Text(*frozen) : vmette::Text(static_cast<const char*>(nullptr)),
      running ? vmette::Text(*running) : vmette::Text(static_cast<const char*>(nullptr)));
}

void add_shares(Arguments& arguments) {
  for (const Share& share : arguments.shares) {
    const auto target = arguments.share_targets.extract(share.tag);
    arguments.config.add_share_at(share.tag, share.path, target ? target.mapped() : "",
                                  share.read_only);
  }
  if (arguments.share_targets.empty()) return;
  const std::string& tag = arguments.share_targets.begin()->first;
  throw UsageError{"--share-target names '" + tag + "', which is no share; add --share " + tag +
                   "=PATH"};
}

void check_combinations(const Arguments& arguments) {
  if (arguments.exec && !arguments.argv.empty()) {
    throw UsageError{"--exec and -- both give a command; keep one of them"};
  }
  if (arguments.build_snapshot && arguments.resume_snapshot) {
    throw UsageError{
        "--build-snapshot and --resume-snapshot exclude each other; build first, then resume in a "
        "second run"};
  }
  if (arguments.resume_snapshot && !arguments.has_command()) {
    throw UsageError{"--resume-snapshot needs a command; add --exec CMD or -- CMD ARG..."};
  }
  if (arguments.switch_root && arguments.rootfs_ro && arguments.has_command()) {
    throw UsageError{
        "--switch-root, --rootfs-ro and a command do not go together; drop --rootfs-ro or "
        "--switch-root"};
  }
  if (arguments.scratch && arguments.rootfs_ro) {
    throw UsageError{
        "--scratch has no use with --rootfs-ro, which has no writable layer; drop one of them"};
  }
  if (arguments.scratch_dir && !arguments.scratch) {
    throw UsageError{"--scratch-dir says where a scratch disk is; add --scratch SIZE or drop it"};
  }
  if (arguments.rootfs_ro && !arguments.rootfs) {
    throw UsageError{"--rootfs-ro needs a root; add --rootfs SPEC or drop it"};
  }
}

}  // namespace

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  if (!words.empty()) {
    if (words[0] == "snapshot") return take_snapshot_words(words);
    if (const auto action = subcommand_of(words[0])) {
      if (words.size() > 1) {
        throw UsageError{words[0] + " takes no arguments, got '" + words[1] + "'; drop it"};
      }
      arguments.action = *action;
      return arguments;
    }
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--") {
      take_command(arguments, words, i + 1);
      break;
    }
    if (const auto action = action_of(words[i])) {
      arguments.action = *action;
      return arguments;
    }
    const Flag* flag = find(words[i]);
    if (flag == nullptr) fail_unknown(words[i]);
    flag->apply(arguments, *flag, flag->form.empty() ? "" : take_value(*flag, words, ++i));
  }
  add_shares(arguments);
  set_resume_hooks(arguments);
  check_combinations(arguments);
  return arguments;
}

}  // namespace vmette_cli
