#include <algorithm>
#include <charconv>
#include <limits>

#include "args.h"

namespace vmette_cli {
namespace {

using Group = Flag::Group;
using Dash = Flag::Dash;

[[noreturn]] void fail(const Flag& flag, const std::string& what, const std::string& value) {
  const std::string name(flag.name);
  throw UsageError{name + " expects " + what + ", got '" + value + "'; write " + name + " " +
                   std::string(flag.form)};
}

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

template <class T>
T number(const Flag& flag, const std::string& value) {
  if (const auto parsed = parse_number<T>(value)) return *parsed;
  const std::string least = std::to_string(std::numeric_limits<T>::min());
  const std::string most = std::to_string(std::numeric_limits<T>::max());
  fail(flag, "a number from " + least + " to " + most, value);
}

// 8G, 512M or a bare number of MiB.
std::uint64_t size_mib(const Flag& flag, const std::string& value) {
  std::string_view digits = value;
  std::uint64_t unit = 1;
  if (!digits.empty() && std::string_view("GgMm").find(digits.back()) != std::string_view::npos) {
    if (digits.back() == 'G' || digits.back() == 'g') unit = 1024;
    digits.remove_suffix(1);
  }
  const auto count = parse_number<std::uint64_t>(digits);
  if (!count || *count == 0 || *count > std::numeric_limits<std::uint64_t>::max() / unit) {
    fail(flag, "a size above zero like 8G, 512M or a number of MiB", value);
  }
  return *count * unit;
}

struct Pair {
  std::string key;
  std::string value;
};

Pair split(const Flag& flag, const std::string& value) {
  const auto equals = value.find('=');
  if (equals == std::string::npos || equals == 0) fail(flag, std::string(flag.form), value);
  return {value.substr(0, equals), value.substr(equals + 1)};
}

bool is_env_key(std::string_view key) {
  const auto letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  const auto legal = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !key.empty() && letter(key.front()) && std::all_of(key.begin(), key.end(), legal);
}

void apply_share(Arguments& arguments, const Flag& flag, const std::string& value) {
  const Pair share = split(flag, value);
  if (share.value.empty()) fail(flag, std::string(flag.form), value);
  arguments.shares.push_back({share.key, share.value, flag.name == "--share-ro"});
}

void apply_share_target(Arguments& arguments, const Flag& flag, const std::string& value) {
  const Pair target = split(flag, value);
  if (!target.value.starts_with('/')) fail(flag, "an absolute path as DIR", value);
  if (!arguments.share_targets.emplace(target.key, target.value).second) {
    throw UsageError{"--share-target names '" + target.key + "' twice; keep one of them"};
  }
}

void apply_share_transport(Arguments& arguments, const Flag& flag, const std::string& value) {
  if (value == "auto") {
    arguments.config.set_share_transport(vmette::ShareTransport::kAuto);
  } else if (value == "virtiofs") {
    arguments.config.set_share_transport(vmette::ShareTransport::kVirtiofs);
  } else if (value == "9p") {
    arguments.config.set_share_transport(vmette::ShareTransport::k9p);
  } else {
    fail(flag, "auto, virtiofs or 9p", value);
  }
}

// What stands before an equals sign is an id only where it can be one: a path may have both.
void apply_disk(Arguments& arguments, const Flag& flag, const std::string& value) {
  const bool read_only = flag.name == "--disk-ro";
  const auto equals = value.find('=');
  const bool named = equals != std::string::npos && value.find('/') > equals;
  if (value.empty() || equals == 0 || (named && equals + 1 == value.size()))
    fail(flag, std::string(flag.form), value);
  if (named) {
    arguments.config.add_disk_as(value.substr(0, equals), value.substr(equals + 1), read_only);
  } else {
    arguments.config.add_disk(value, read_only);
  }
}

void apply_env(Arguments& arguments, const Flag& flag, const std::string& value) {
  const Pair variable = split(flag, value);
  if (!is_env_key(variable.key)) fail(flag, "a key of the form [A-Za-z_][A-Za-z0-9_]*", value);
  arguments.config.add_env(variable.key, variable.value);
}

void apply_vsock_port(Arguments& arguments, const Flag& flag, const std::string& value) {
  const auto port = parse_number<std::int64_t>(value);
  if (!port || *port < -1 || *port > std::numeric_limits<std::uint32_t>::max()) {
    fail(flag, "a number from -1 to 4294967295", value);
  }
  const auto mode = *port < 0    ? vmette::VsockMode::kDisabled
                    : *port == 0 ? vmette::VsockMode::kAuto
                                 : vmette::VsockMode::kFixed;
  arguments.config.set_vsock(mode, *port > 0 ? static_cast<std::uint32_t>(*port) : 0);
}

void apply_accel(Arguments& arguments, const Flag& flag, const std::string& value) {
  if (value == "auto") {
    arguments.config.set_accel(vmette::Accel::kAuto);
  } else if (value == "hardware") {
    arguments.config.set_accel(vmette::Accel::kHardware);
  } else if (value == "emulation") {
    arguments.config.set_accel(vmette::Accel::kEmulation);
  } else {
    fail(flag, "auto, hardware or emulation", value);
  }
}

void apply_ready_timeout(Arguments& arguments, const Flag& flag, const std::string& value) {
  const auto seconds = number<std::uint32_t>(flag, value);
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max() / 1000;
  if (seconds > kMost) fail(flag, "a number up to " + std::to_string(kMost), value);
  arguments.config.set_ready_timeout_ms(seconds * 1000);
}

constexpr Flag kFlags[] = {
    {"--kernel", "PATH", "guest kernel instead of the one of the boot assets", Group::kAssets,
     Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) { a.config.set_kernel(v); }},
    {"--initramfs", "PATH", "initramfs instead of the one of the boot assets", Group::kAssets,
     Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) { a.config.set_initramfs(v); }},

    {"--rootfs", "SPEC", "the guest's root; none: the built-in busybox (see vmette providers)",
     Group::kRoot, Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) { a.rootfs = v; }},
    {"--rootfs-ro", "", "no writable layer over the root", Group::kRoot, Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string&) { a.rootfs_ro = true; }},
    {"--switch-root", "", "make the root the guest's real / instead of a chroot", Group::kRoot,
     Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string&) {
       a.switch_root = true;
       a.config.set_switch_root(true);
     }},
    {"--scratch", "SIZE", "writable layer on a throw-away disk: 8G, 512M, or MiB", Group::kRoot,
     Dash::kRefused,
     [](Arguments& a, const Flag& flag, const std::string& v) {
       a.scratch = true;
       a.config.set_scratch_mib(size_mib(flag, v));
     }},
    {"--scratch-dir", "PATH", "whose file system holds that disk (default /var/tmp)", Group::kRoot,
     Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) {
       a.scratch_dir = true;
       a.config.set_scratch_dir(v);
     }},
    {"--offline", "", "never fetch a root over the network", Group::kRoot, Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string&) { a.config.set_offline(true); }},
    {"--cache-dir", "PATH", "where fetched roots are kept (default ~/.cache/vmette)", Group::kRoot,
     Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) { a.config.set_cache_dir(v); }},

    {"--exec", "CMD", "run CMD with the guest's /bin/sh -c, then power off", Group::kWorkload,
     Dash::kAllowed,
     [](Arguments& a, const Flag&, const std::string& v) {
       a.exec = true;
       a.config.set_exec(v);
     }},
    {"--env", "KEY=VALUE", "environment variable of the command (repeatable)", Group::kWorkload,
     Dash::kAllowed, apply_env},
    {"--share", "TAG=PATH", "share a directory, writable, at /mnt/TAG (repeatable)",
     Group::kWorkload, Dash::kRefused, apply_share},
    {"--share-ro", "TAG=PATH", "the same, read-only (repeatable)", Group::kWorkload, Dash::kRefused,
     apply_share},
    {"--share-target", "TAG=DIR", "mount that share at DIR in the guest (repeatable)",
     Group::kWorkload, Dash::kRefused, apply_share_target},
    {"--share-transport", "KIND", "auto, virtiofs or 9p, for shares and root (default auto)",
     Group::kWorkload, Dash::kRefused, apply_share_transport},
    {"--disk", "[ID=]PATH", "attach a raw disk image, writable (repeatable)", Group::kWorkload,
     Dash::kRefused, apply_disk},
    {"--disk-ro", "[ID=]PATH", "the same, read-only (repeatable)", Group::kWorkload, Dash::kRefused,
     apply_disk},
    {"--ca-certs", "DIR", "directory of CA certificates that the guest trusts too",
     Group::kWorkload, Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) { a.config.set_ca_certs(v); }},
    {"--net", "", "attach a network", Group::kWorkload, Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string&) { a.config.set_net(true); }},

    {"--vcpus", "N", "number of vCPUs (default 1)", Group::kRuntime, Dash::kRefused,
     [](Arguments& a, const Flag& flag, const std::string& v) {
       a.config.set_vcpus(number<std::uint32_t>(flag, v));
     }},
    {"--mem-mib", "N", "guest memory in MiB (default 512)", Group::kRuntime, Dash::kRefused,
     [](Arguments& a, const Flag& flag, const std::string& v) {
       a.config.set_mem_mib(number<std::uint64_t>(flag, v));
     }},
    {"--timeout", "S", "end the machine after S seconds with exit code 124", Group::kRuntime,
     Dash::kRefused,
     [](Arguments& a, const Flag& flag, const std::string& v) {
       a.config.set_timeout_seconds(number<std::uint32_t>(flag, v));
     }},
    {"--ready-timeout", "S", "how long the boot may take (default 60)", Group::kRuntime,
     Dash::kRefused, apply_ready_timeout},
    {"--accel", "KIND", "auto, hardware or emulation (default auto)", Group::kRuntime,
     Dash::kRefused, apply_accel},
    {"--cmdline", "STR", "base kernel command line", Group::kRuntime, Dash::kAllowed,
     [](Arguments& a, const Flag&, const std::string& v) { a.config.set_cmdline(v); }},
    {"--vsock-port", "N", "host port: -1 no vsock, 0 a free one (default), else N", Group::kRuntime,
     Dash::kRefused, apply_vsock_port},
    {"--guest-vsock-port", "N", "port on which the guest's side listens (default 1025)",
     Group::kRuntime, Dash::kRefused,
     [](Arguments& a, const Flag& flag, const std::string& v) {
       a.config.set_guest_vsock_port(number<std::uint32_t>(flag, v));
     }},
    {"--quiet", "", "no banner and no status lines; errors are printed", Group::kRuntime,
     Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string&) { a.config.set_quiet(true); }},

    {"--build-snapshot", "PATH", "boot, run the command, save the machine to PATH, end",
     Group::kSnapshot, Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) {
       a.build_snapshot = true;
       a.config.set_build_snapshot(v);
     }},
    {"--resume-snapshot", "PATH", "start from the machine saved at PATH", Group::kSnapshot,
     Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string& v) {
       a.resume_snapshot = true;
       a.config.set_resume_snapshot(v);
     }},
    {"--resume-shares", "N", "devices for shares that a resume may add (default 0)",
     Group::kSnapshot, Dash::kRefused,
     [](Arguments& a, const Flag& flag, const std::string& v) {
       a.config.set_resume_shares(number<std::uint32_t>(flag, v));
     }},
    {"--resume-hook", "CMD", "what a resumed machine runs before the command", Group::kSnapshot,
     Dash::kAllowed, [](Arguments& a, const Flag&, const std::string& v) { a.resume_hook = v; }},
    {"--resume-hook-frozen", "CMD", "the same, while its programs still stand still",
     Group::kSnapshot, Dash::kAllowed,
     [](Arguments& a, const Flag&, const std::string& v) { a.resume_hook_frozen = v; }},
    {"--snapshot-digests", "", "keep digests of the files, for vmette snapshot verify",
     Group::kSnapshot, Dash::kRefused,
     [](Arguments& a, const Flag&, const std::string&) { a.config.set_snapshot_digests(true); }},
};

}  // namespace

std::span<const Flag> flags() {
  return kFlags;
}

}  // namespace vmette_cli
