#include <elf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.h"
#include "vmm/helper.h"
#include "vmm/qemu/accel.h"
#include "vmm/qemu/command_line.h"
#include "vmm/qemu/console_log.h"
#include "vmm/qemu/disk_check.h"
#include "vmm/qemu/failure.h"
#include "vmm/qemu/kernel_check.h"
#include "vmm/qemu/kernel_cmdline.h"
#include "vmm/qemu/program.h"
#include "vmm/qemu/tsc.h"

using namespace vmette::vmm;
using vmette_test::fake_bzimage;
using vmette_test::TemporaryFolder;

namespace {

// "code: message" of the Failure that `act` throws, or empty.
std::string failure_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Failure& failure) {
    return failure.code + ": " + failure.what();
  }
  return {};
}

std::string verdict(const std::string& path, Arch arch = Arch::kX86_64) {
  return failure_of([&] { check_kernel(path, arch); });
}

// An ELF file with one PT_NOTE segment that holds one note.
std::string elf_with_note(uint16_t machine, const std::string& name, uint32_t type) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = machine;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = 8192;
  const Elf64_Nhdr note{static_cast<uint32_t>(name.size()), 8, type};
  const std::string padded = name + std::string((4 - name.size() % 4) % 4, '\0');
  segment.p_filesz = sizeof note + padded.size() + 8;
  std::string file(8192, '\0');
  std::memcpy(file.data(), &header, sizeof header);
  std::memcpy(file.data() + sizeof header, &segment, sizeof segment);
  file.append(reinterpret_cast<const char*>(&note), sizeof note);
  return file + padded + std::string(8, 'e');
}

const std::string kXenName("Xen\0", 4);

// An environment variable that has its earlier value back afterwards.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    // NOLINTBEGIN(concurrency-mt-unsafe): one thread
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (before_)
      setenv(name_, before_->c_str(), 1);
    else
      unsetenv(name_);
    // NOLINTEND(concurrency-mt-unsafe)
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

Machine small_machine() {
  Machine machine;
  machine.version = "1";
  machine.parent_pid = 42;
  machine.arch = Arch::kX86_64;
  machine.kernel = "/k,ernel";
  return machine;
}

bool has_pair(const std::vector<std::string>& argv, const std::string& option,
              const std::string& value) {
  for (size_t i = 0; i + 1 < argv.size(); ++i)
    if (argv[i] == option && argv[i + 1] == value) return true;
  return false;
}

}  // namespace

TEST_CASE("kernels that can be booted are accepted") {
  const TemporaryFolder folder;
  CHECK(verdict(folder.write("bzimage", fake_bzimage())).empty());
  CHECK(verdict(folder.write("pvh", elf_with_note(EM_X86_64, kXenName, 18))).empty());
  std::string image(4096, '\0');
  image.replace(0x38, 4, "ARMd");
  CHECK(verdict(folder.write("image", image), Arch::kAarch64).empty());
}

TEST_CASE("a file that is no kernel for the machine is refused with what it is") {
  const TemporaryFolder folder;
  const auto is = [&](const std::string& bytes, Arch arch = Arch::kX86_64) {
    const std::string path = folder.write("file", bytes);
    const std::string text = verdict(path, arch);
    const std::string head = "bad_kernel: kernel " + path + ": is ";
    REQUIRE(text.substr(0, head.size()) == head);
    return text.substr(head.size(), text.find(';') - head.size());
  };
  CHECK(is("") == "an empty file");
  CHECK(is("hello\n") == "a text file");
  CHECK(is("#!/bin/sh\n") == "a script");
  CHECK(is("\x1f\x8b\x08") == "gzip data");
  CHECK(is("\x28\xb5\x2f\xfd") == "zstd data");
  CHECK(is("070701abc") == "a cpio archive (an initramfs?)");
  CHECK(is("MZ\x90\x01") == "an EFI program (a compressed kernel?)");
  CHECK(is("\x01\x02\xff") == "data of an unknown kind");
  CHECK(is(elf_with_note(EM_AARCH64, kXenName, 18)) == "an aarch64 ELF file");
  CHECK(is(elf_with_note(EM_RISCV, kXenName, 18)) == "an ELF file for machine 243");
  const char* no_pvh = "an x86_64 ELF file without the PVH entry note (CONFIG_PVH)";
  CHECK(is(elf_with_note(EM_X86_64, kXenName, 17)) == no_pvh);
  CHECK(is(elf_with_note(EM_X86_64, "GNU", 18)) == no_pvh);
  CHECK(is(fake_bzimage(), Arch::kAarch64) == "an x86_64 bzImage");
  CHECK(is(elf_with_note(EM_X86_64, kXenName, 18), Arch::kAarch64) == "an x86_64 ELF file");
}

TEST_CASE("an ELF header that points nowhere is refused, not followed") {
  const TemporaryFolder folder;
  std::string file = elf_with_note(EM_X86_64, kXenName, 18);
  Elf64_Ehdr header;
  std::memcpy(&header, file.data(), sizeof header);
  const auto with = [&](const std::function<void(Elf64_Ehdr&)>& change) {
    Elf64_Ehdr changed = header;
    change(changed);
    std::memcpy(file.data(), &changed, sizeof changed);
    return verdict(folder.write("file", file));
  };
  CHECK(with([](auto& elf) { elf.e_phoff = UINT64_MAX; }).starts_with("bad_kernel"));
  CHECK(with([](auto& elf) { elf.e_phoff = 8190; }).starts_with("bad_kernel"));
  CHECK(with([](auto& elf) { elf.e_phentsize = 0; }).starts_with("bad_kernel"));
  CHECK(with([](auto& elf) { elf.e_phnum = 0; }).starts_with("bad_kernel"));
  CHECK(with([](auto& elf) { elf.e_phnum = 0xffff; }).empty());
}

TEST_CASE("a kernel or initramfs that cannot be read is named") {
  const TemporaryFolder folder;
  const std::string missing = folder.path() + "/none";
  CHECK(verdict(missing) == "bad_kernel: kernel " + missing + ": No such file or directory");
  CHECK(verdict(folder.path()) ==
        "bad_kernel: kernel " + folder.path() + ": is a directory, not a file");
  CHECK(verdict("/dev/null") == "bad_kernel: kernel /dev/null: is a special file, not a file");
  const std::string fifo = folder.path() + "/fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(verdict(fifo) == "bad_kernel: kernel " + fifo + ": is a special file, not a file");
  CHECK(failure_of([&] { check_initramfs(missing); }) ==
        "bad_initramfs: initramfs " + missing + ": No such file or directory");
  const std::string empty = folder.write("empty", "");
  CHECK(failure_of([&] { check_initramfs(empty); }) ==
        "bad_initramfs: initramfs " + empty +
            ": is an empty file; give a cpio archive with vmette-agent as /init");
  CHECK(failure_of([&] { check_initramfs(folder.write("some", "x")); }).empty());
}

TEST_CASE("the kernel's command line gets what the machine needs") {
  CHECK(kernel_cmdline("quiet", Arch::kX86_64, Accel::kKvm, {}) ==
        "quiet console=ttyS0 panic=-1 random.trust_cpu=on reboot=t");
  CHECK(kernel_cmdline("", Arch::kX86_64, Accel::kTcg, 2600000) ==
        "console=ttyS0 panic=-1 random.trust_cpu=on reboot=t tsc_early_khz=2600000 "
        "tsc=reliable nokaslr mitigations=off");
  CHECK(kernel_cmdline("", Arch::kAarch64, Accel::kTcg, {}) ==
        "console=ttyAMA0 panic=-1 random.trust_cpu=on nokaslr mitigations=off");
}

TEST_CASE("what the caller set on the kernel's command line stays the caller's") {
  CHECK(kernel_cmdline("panic=5 random.trust-cpu=off reboot=k", Arch::kX86_64, Accel::kKvm, {}) ==
        "panic=5 random.trust-cpu=off reboot=k console=ttyS0");
  CHECK(kernel_cmdline("tsc_early_khz=1 nokaslr mitigations=auto", Arch::kX86_64, Accel::kTcg,
                       2600000) ==
        "tsc_early_khz=1 nokaslr mitigations=auto console=ttyS0 panic=-1 random.trust_cpu=on "
        "reboot=t tsc=reliable");
  // A name that only begins alike, or stands inside quotes, is another.
  CHECK(kernel_cmdline("panic_print=1 x=\"a panic=3\"", Arch::kX86_64, Accel::kKvm, {}) ==
        "panic_print=1 x=\"a panic=3\" console=ttyS0 panic=-1 random.trust_cpu=on reboot=t");
}

TEST_CASE("the machine's console is added to others and not twice") {
  CHECK(kernel_cmdline("console=hvc0", Arch::kX86_64, Accel::kKvm, {})
            .starts_with("console=hvc0 console=ttyS0 "));
  CHECK(kernel_cmdline("console=ttyS0,115200", Arch::kX86_64, Accel::kKvm, {})
            .starts_with("console=ttyS0,115200 panic="));
  CHECK(kernel_cmdline("console=ttyS01", Arch::kX86_64, Accel::kKvm, {})
            .starts_with("console=ttyS01 console=ttyS0 "));
}

TEST_CASE("arguments for init stay behind everything else") {
  CHECK(kernel_cmdline("quiet -- panic=7  -x", Arch::kX86_64, Accel::kKvm, {}) ==
        "quiet console=ttyS0 panic=-1 random.trust_cpu=on reboot=t -- panic=7 -x");
}

TEST_CASE("a command line that only the additions make too long is refused") {
  const std::string base(2040, 'a');
  CHECK(failure_of([&] { kernel_cmdline(base, Arch::kX86_64, Accel::kKvm, {}); }) ==
        "bad_request: cmdline: 2092 bytes with what the machine adds; a kernel keeps 2047");
}

TEST_CASE("QEMU's arguments follow the machine") {
  Machine machine = small_machine();
  machine.vcpus = 2;
  machine.memory_mib = 300;
  machine.initramfs = "/i";
  const auto argv = qemu_argv(machine, "/q", Accel::kTcg, "a b");
  CHECK(argv.front() == "/q");
  CHECK(has_pair(argv, "-M", "microvm,acpi=on"));
  CHECK(has_pair(argv, "-accel", "tcg,thread=multi"));
  CHECK(has_pair(argv, "-cpu", "max,-erms,-fsrm"));
  CHECK(has_pair(argv, "-smp", "2"));
  CHECK(has_pair(argv, "-m", "300M"));
  CHECK(has_pair(argv, "-kernel", "/k,ernel"));
  CHECK(has_pair(argv, "-initrd", "/i"));
  CHECK(has_pair(argv, "-append", "a b"));
  CHECK(has_pair(argv, "-global", "virtio-mmio.force-legacy=false"));
  CHECK(has_pair(argv, "-sandbox",
                 "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
  for (const char* flag : {"-S", "-nodefaults", "-no-user-config", "-no-reboot"})
    CHECK(std::ranges::count(argv, flag) == 1);

  machine.vcpus = 1;
  machine.initramfs.clear();
  machine.arch = Arch::kAarch64;
  const auto arm = qemu_argv(machine, "/q", Accel::kKvm, "");
  CHECK(has_pair(arm, "-M", "virt,gic-version=max"));
  CHECK(has_pair(arm, "-accel", "kvm"));
  CHECK(has_pair(arm, "-cpu", "host"));
  CHECK(std::ranges::count(arm, "-initrd") == 0);
}

TEST_CASE("the scratch disk reaches QEMU as a descriptor, and its flushes go nowhere") {
  Machine machine = small_machine();
  machine.scratch = Scratch{"/var/tmp", "s,1", 64};
  const auto argv = qemu_argv(machine, "/q", Accel::kTcg, "", {{}, 9});
  CHECK(has_pair(argv, "-add-fd", "fd=9,set=2"));
  CHECK(has_pair(argv, "-device",
                 "virtio-blk-device,drive=scratch,serial=s,,1,werror=report,rerror=report"));
  const auto at = std::ranges::find(argv, "-blockdev");
  REQUIRE(at != argv.end());
  const auto node = nlohmann::json::parse(*(at + 1));
  CHECK(node["file"]["filename"] == "/dev/fdset/2");
  CHECK(node["cache"]["no-flush"] == true);
}

TEST_CASE("a machine that is restored reaches QEMU with a private file for memory") {
  Machine machine = small_machine();
  machine.memory_mib = 300;
  machine.disks = {{"/a", "a", true}, {"/b", "b", false}};
  machine.scratch = Scratch{"/var/tmp", "s", 64, "/image"};
  machine.shares = {{"t", ""}, {"u", "/u"}};
  vmette::vmm::PassedFds fds{{}, 6, {-1, 7}, 8, 9};
  const auto argv = qemu_argv(machine, "/q", Accel::kTcg, "", fds, {true, true, {}});
  CHECK(has_pair(argv, "-incoming", "defer"));
  CHECK(has_pair(argv, "-M", "microvm,acpi=on,memory-backend=ram"));
  CHECK(has_pair(argv, "-object",
                 "memory-backend-file,id=ram,size=300M,mem-path=/proc/self/fd/8,share=off"));
  CHECK(has_pair(argv, "-add-fd", "fd=7,set=4"));
  CHECK(has_pair(argv, "-fsdev",
                 "local,id=share0,path=/proc/self/fd/9,security_model=none,multidevs=remap,"
                 "readonly=on"));
  CHECK(has_pair(argv, "-fsdev", "local,id=share1,path=/u,security_model=none,multidevs=remap"));

  // The same devices with nothing behind them.
  const auto twin = qemu_argv(machine, "/q", Accel::kTcg, "", fds, {false, true, {1, 2, 3}});
  CHECK(has_pair(twin, "-object",
                 "memory-backend-file,id=ram,size=300M,mem-path=/proc/self/fd/8,share=on"));
  CHECK(std::ranges::count(twin, "-add-fd") == 1);  // the console's
  const auto devices = [](const std::vector<std::string>& all) {
    std::vector<std::string> found;
    for (size_t i = 0; i + 1 < all.size(); ++i)
      if (all[i] == "-device") found.push_back(all[i + 1]);
    return found;
  };
  CHECK(devices(twin) == devices(argv));
}

TEST_CASE("QEMU's words about a lock become the disk that somebody else has") {
  const std::vector<vmette::vmm::Disk> disks = {{"/root]?", "vmette-root", true},
                                                {"/a b/c", "x", false}};
  const std::string words =
      "qemu: -device virtio-blk-device,drive=disk0: Failed to get \"write\" lock; Is another "
      "process using the image ";
  CHECK(disk_in_use(words + "[/a b/c]?", disks)
            .starts_with("disks: '/a b/c' is in use by another machine"));
  CHECK(disk_in_use(words + "[/root]?]?", disks)
            .starts_with("rootfs: '/root]?' is in use by another machine"));
  CHECK(disk_in_use("Failed to get shared \"write\" lock", disks)
            .starts_with("disks: one is in use"));
  CHECK(disk_in_use("Failed to get memory", disks).empty());
  CHECK(disk_in_use("", disks).empty());
}

TEST_CASE("disks and shares reach QEMU with their names, commas and read-only flags whole") {
  Machine machine = small_machine();
  machine.disks = {{"/a,b", "one,two", true}, {"/c", "x", false}};
  machine.shares = {{"t,g", "/s,d", true}, {"u", "/", false}};
  const auto argv = qemu_argv(machine, "/q", Accel::kTcg, "");
  CHECK(has_pair(argv, "-device",
                 "virtio-blk-device,drive=disk0,serial=one,,two,werror=report,rerror=report"));
  CHECK(has_pair(argv, "-fsdev",
                 "local,id=share0,path=/s,,d,security_model=none,multidevs=remap,readonly=on"));
  CHECK(has_pair(argv, "-fsdev", "local,id=share1,path=/,security_model=none,multidevs=remap"));
  CHECK(has_pair(argv, "-device", "virtio-9p-device,fsdev=share0,mount_tag=t,,g"));

  std::vector<nlohmann::json> nodes;
  for (size_t i = 0; i + 1 < argv.size(); ++i)
    if (argv[i] == "-blockdev") nodes.push_back(nlohmann::json::parse(argv[i + 1]));
  REQUIRE(nodes.size() == 2);
  CHECK(nodes[0]["driver"] == "raw");
  CHECK(nodes[0]["read-only"] == true);
  CHECK(nodes[0]["file"]["filename"] == "/a,b");
  CHECK(nodes[0]["file"]["read-only"] == true);
  CHECK(nodes[1]["read-only"] == false);
}

TEST_CASE("the console log keeps the last 64 KiB and counts what was dropped unsent") {
  constexpr size_t kBytes = ConsoleLog::kBytes;
  ConsoleLog log;
  CHECK_FALSE(log.has_unsent());
  log.append("hello ");
  log.append("world");
  ConsoleLog::Piece piece = log.take_unsent(7);
  CHECK(piece.data == "hello w");
  CHECK(piece.dropped == 0);
  CHECK(log.tail() == "hello world");

  log.append(std::string(kBytes, 'a'));
  log.append("end");
  CHECK(log.tail().size() == kBytes);
  CHECK(log.tail().ends_with("aend"));
  std::string rest;
  uint64_t dropped = 0;
  while (log.has_unsent()) {
    piece = log.take_unsent(1000);
    rest += piece.data;
    dropped += piece.dropped;
  }
  CHECK(rest == log.tail());
  CHECK(dropped == 4 + 3);

  for (int i = 0; i < 100; ++i) log.append(std::string(5000, 'b'));
  log.append("last");
  CHECK(log.tail().size() == kBytes);
  CHECK(log.tail().ends_with("blast"));
  CHECK(log.take_unsent(kBytes).dropped == 500004 - kBytes);
}

TEST_CASE("QEMU is found by path, by VMETTE_QEMU and in PATH, in this order") {
  const TemporaryFolder folder;
  const std::string by_path = folder.write("by-path", "#!/bin/sh\n", 0700);
  const std::string by_variable = folder.write("by-variable", "#!/bin/sh\n", 0700);
  const std::string usual = folder.write("qemu-system-x86_64", "#!/bin/sh\n", 0700);
  const Variable search("PATH", ":relative:/none:" + folder.path());
  {
    const Variable variable("VMETTE_QEMU", by_variable);
    CHECK(find_qemu(by_path, Arch::kX86_64) == by_path);
    CHECK(find_qemu("by-path", Arch::kX86_64) == by_path);
    CHECK(find_qemu("", Arch::kX86_64) == by_variable);
  }
  const Variable empty("VMETTE_QEMU", "");
  CHECK(find_qemu("", Arch::kX86_64) == usual);
  CHECK(failure_of([] { find_qemu("", Arch::kAarch64); }) ==
        "not_found: qemu-system-aarch64 is not in PATH; install the package qemu-system-arm or "
        "set VMETTE_QEMU");
  const Variable wrong("VMETTE_QEMU", "/none/qemu");
  CHECK(failure_of([] { find_qemu("", Arch::kX86_64); }) ==
        "not_found: VMETTE_QEMU: /none/qemu cannot be run: No such file or directory; install the "
        "package qemu-system-x86 or set VMETTE_QEMU");
}

TEST_CASE("the version is cut out of what QEMU prints") {
  CHECK(parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright") == "7.2.22");
  CHECK(parse_version("QEMU emulator version 9.1.0\n") == "9.1.0");
  CHECK(parse_version("something else").empty());
}

TEST_CASE("KVM is never taken for a foreign architecture") {
  const Arch foreign = host_arch() == Arch::kX86_64 ? Arch::kAarch64 : Arch::kX86_64;
  CHECK(choose_accel(Accel::kAuto, foreign).accel == Accel::kTcg);
  const std::string refusal = failure_of([&] { choose_accel(Accel::kKvm, foreign); });
  CHECK(refusal.starts_with("kvm_unavailable: accel: hardware does not work here: "));
  CHECK(refusal.ends_with("; use auto or emulation"));
  CHECK(choose_accel(Accel::kTcg, host_arch()).accel == Accel::kTcg);
}

TEST_CASE("the counter's frequency is measured alike over a short and a ten times longer span") {
  const TickSample begin = sample_ticks();
  const auto first = host_tick_khz(begin);
  for (int i = 0; i < 9; ++i) REQUIRE(host_tick_khz(sample_ticks()).has_value());
  const auto second = host_tick_khz(begin);
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  // 50 ppm is what a guest's clock needs.
  CHECK(std::abs(static_cast<double>(*first) - *second) <= 50e-6 * *second);
}
