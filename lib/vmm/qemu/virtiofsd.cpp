#include "vmm/qemu/virtiofsd.h"

#include <fmt/format.h>

#include <charconv>

#include "vmm/qemu/failure.h"
#include "vmm/qemu/program.h"

namespace vmette::vmm {
namespace {

// What a server must not be able to do, whatever the guest asks of it: make device nodes, set file
// capabilities, write to a setuid file that stays one.
constexpr const char* kNoCapabilities = "-mknod:-setfcap:-fsetid";

// The numbers of "1.13.2".
bool at_least(std::string_view version, int major, int minor) {
  int parts[2] = {0, 0};
  const char* at = version.data();
  const char* const end = at + version.size();
  for (int& part : parts) {
    const auto [next, error] = std::from_chars(at, end, part);
    if (error != std::errc()) break;
    at = next < end ? next + 1 : end;
  }
  return parts[0] > major || (parts[0] == major && parts[1] >= minor);
}

// A value inside -o, which is cut at commas.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

const char* cache_of(const Share& share) {
  return share.stable ? "always" : "auto";
}

}  // namespace

std::string find_virtiofsd() {
  std::string found =
      find_tool("VMETTE_VIRTIOFSD", "virtiofsd",
                {"/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"});
  if (found.empty()) throw Failure("not_found", "virtiofsd is not installed");
  return found;
}

std::optional<Virtiofsd> parse_virtiofsd(const std::string& program, std::string_view output) {
  constexpr std::string_view kName = "virtiofsd ";
  constexpr std::string_view kOfQemu = "version ";
  if (!output.starts_with(kName)) return std::nullopt;
  output.remove_prefix(kName.size());
  Virtiofsd about;
  about.program = program;
  about.needs_root = output.starts_with(kOfQemu);
  if (about.needs_root) output.remove_prefix(kOfQemu.size());
  about.version = output.substr(0, output.find_first_of(" (\n"));
  if (about.version.empty()) return std::nullopt;
  about.read_only_option = !about.needs_root && at_least(about.version, 1, 13);
  return about;
}

std::vector<std::string> virtiofsd_argv(const Virtiofsd& virtiofsd, const Share& share,
                                        const ServedDirectory& directory, int listen_fd) {
  std::vector<std::string> argv = {virtiofsd.program, fmt::format("--fd={}", listen_fd)};
  // File systems mounted below a share are shown as such, or equal inode numbers would look like
  // hard links. overlayfs cannot have such mounts in a root.
  const bool submounts = !share.stable;
  // killpriv_v2: a guest need not ask before each write whether the file has capabilities; without
  // CAP_FSETID the host's kernel takes them off in any case.
  // Without readdirplus: looking up what has been deleted meanwhile would end a listing early.
  if (virtiofsd.needs_root) {
    argv.insert(argv.end(), {"-o", "source=" + escaped(directory.path), "-o",
                             fmt::format("cache={},xattr,no_readdirplus,log_level=err,modcaps={}",
                                         cache_of(share), kNoCapabilities)});
    if (submounts) argv.insert(argv.end(), {"-o", "announce_submounts"});
    if (at_least(virtiofsd.version, 6, 0)) argv.insert(argv.end(), {"-o", "killpriv_v2"});
    return argv;
  }
  argv.insert(
      argv.end(),
      {"--shared-dir=" + directory.path, fmt::format("--cache={}", cache_of(share)), "--xattr",
       "--no-readdirplus", "--log-level=error", fmt::format("--modcaps={}", kNoCapabilities)});
  if (submounts) argv.emplace_back("--announce-submounts");
  argv.emplace_back("--killpriv-v2");
  if (share.read_only && !directory.is_private) argv.emplace_back("--readonly");
  return argv;
}

}  // namespace vmette::vmm
