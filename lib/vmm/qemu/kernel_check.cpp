#include "vmm/qemu/kernel_check.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/unique_fd.h"
#include "vmm/qemu/failure.h"

namespace vmette::vmm {
namespace {

static_assert(std::endian::native == std::endian::little, "file headers are read as they are");

constexpr size_t kHeadBytes = 4096;
constexpr size_t kMaxNoteBytes = size_t{64} * 1024;
constexpr size_t kMaxProgramHeaders = 64;
constexpr uint32_t kXenPhys32Entry = 18;  // the PVH entry point
constexpr size_t kBootSector = 0x1fe;
constexpr size_t kSetupHeader = 0x202;
constexpr size_t kImageMagic = 0x38;

UniqueFd open_regular(const std::string& path, const char* code) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  const std::string subject = std::string_view(code) == "bad_kernel" ? "kernel" : "initramfs";
  if (!fd)
    throw Failure(code,
                  fmt::format("{} {}: {}", subject, path, std::generic_category().message(errno)));
  struct stat info{};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
    throw Failure(code, fmt::format("{} {}: is {}, not a file", subject, path,
                                    S_ISDIR(info.st_mode) ? "a directory" : "a special file"));
  return fd;
}

std::string read_at(int fd, uint64_t offset, size_t bytes) {
  std::string out(bytes, '\0');
  size_t filled = 0;
  while (filled < bytes && offset <= static_cast<uint64_t>(INT64_MAX) - bytes) {
    const ssize_t count =
        pread(fd, out.data() + filled, bytes - filled, static_cast<off_t>(offset + filled));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    filled += static_cast<size_t>(count);
  }
  out.resize(filled);
  return out;
}

template <class T>
std::optional<T> load(std::string_view bytes, size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool has(std::string_view bytes, size_t offset, std::string_view magic) {
  return offset <= bytes.size() && bytes.substr(offset).starts_with(magic);
}

bool has_pvh_note(std::string_view notes) {
  size_t at = 0;
  while (const auto note = load<Elf64_Nhdr>(notes, at)) {
    const auto padded = [](uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; };
    const size_t name = at + sizeof *note;
    if (note->n_type == kXenPhys32Entry && has(notes, name, std::string_view("Xen\0", 4)))
      return true;
    at = name + padded(note->n_namesz) + padded(note->n_descsz);
  }
  return false;
}

bool has_pvh_entry(int fd, const Elf64_Ehdr& header) {
  const size_t count = std::min<size_t>(header.e_phnum, kMaxProgramHeaders);
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return false;
  const std::string table = read_at(fd, header.e_phoff, count * sizeof(Elf64_Phdr));
  for (size_t i = 0; i < count; ++i) {
    const auto segment = load<Elf64_Phdr>(table, i * sizeof(Elf64_Phdr));
    if (!segment || segment->p_type != PT_NOTE) continue;
    const auto bytes = std::min<uint64_t>(segment->p_filesz, kMaxNoteBytes);
    if (has_pvh_note(read_at(fd, segment->p_offset, bytes))) return true;
  }
  return false;
}

bool is_bzimage(std::string_view head) {
  return has(head, kBootSector, "\x55\xaa") && has(head, kSetupHeader, "HdrS");
}

bool is_arm_image(std::string_view head) {
  return has(head, kImageMagic, "ARMd");
}

std::string describe_elf(const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return "a 32-bit ELF file";
  switch (header.e_machine) {
    case EM_X86_64:
      return "an x86_64 ELF file";
    case EM_AARCH64:
      return "an aarch64 ELF file";
    default:
      return fmt::format("an ELF file for machine {}", header.e_machine);
  }
}

std::string describe(std::string_view head) {
  struct Magic {
    std::string_view bytes;
    const char* name;
  };
  static constexpr std::array<Magic, 9> kMagics = {{
      {{"\x1f\x8b", 2}, "gzip data"},
      {{"\x28\xb5\x2f\xfd", 4}, "zstd data"},
      {{"\xfd"
        "7zXZ",
        5},
       "xz data"},
      {{"BZh", 3}, "bzip2 data"},
      {{"\x04\x22\x4d\x18", 4}, "lz4 data"},
      {{"070701", 6}, "a cpio archive (an initramfs?)"},
      {{"#!", 2}, "a script"},
      {{"!<arch>", 7}, "a package or an ar archive"},
      {{"QFI\xfb", 4}, "a qcow2 disk image"},
  }};
  if (head.empty()) return "an empty file";
  if (is_bzimage(head)) return "an x86_64 bzImage";
  if (is_arm_image(head)) return "an aarch64 Image";
  if (const auto elf = load<Elf64_Ehdr>(head, 0); elf && has(head, 0, ELFMAG))
    return describe_elf(*elf);
  for (const Magic& magic : kMagics)
    if (head.starts_with(magic.bytes)) return magic.name;
  if (head.starts_with("MZ")) return "an EFI program (a compressed kernel?)";
  const bool text = std::ranges::all_of(
      head, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\t' || c == '\r'; });
  return text ? "a text file" : "data of an unknown kind";
}

}  // namespace

void check_kernel(const std::string& path, Arch arch) {
  const UniqueFd fd = open_regular(path, "bad_kernel");
  const std::string head = read_at(fd.get(), 0, kHeadBytes);
  const auto refuse = [&](const std::string& is, const char* wanted) {
    throw Failure("bad_kernel",
                  fmt::format("kernel {}: is {}; {} boots {}", path, is, name_of(arch), wanted));
  };
  if (arch == Arch::kAarch64) {
    if (!is_arm_image(head)) refuse(describe(head), "an uncompressed Image");
    return;
  }
  if (is_bzimage(head)) return;
  const char* wanted = "an uncompressed vmlinux with a PVH entry, or a bzImage";
  const auto elf = load<Elf64_Ehdr>(head, 0);
  if (!elf || !has(head, 0, ELFMAG) || elf->e_ident[EI_CLASS] != ELFCLASS64 ||
      elf->e_machine != EM_X86_64)
    refuse(describe(head), wanted);
  else if (!has_pvh_entry(fd.get(), *elf))
    refuse("an x86_64 ELF file without the PVH entry note (CONFIG_PVH)", wanted);
}

void check_initramfs(const std::string& path) {
  const UniqueFd fd = open_regular(path, "bad_initramfs");
  if (read_at(fd.get(), 0, 1).empty())
    throw Failure(
        "bad_initramfs",
        fmt::format(
            "initramfs {}: is an empty file; give a cpio archive with vmette-agent as /init",
            path));
}

}  // namespace vmette::vmm
