#include "vmm/qemu/command_line.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

namespace vmette::vmm {
namespace {

using Argv = std::vector<std::string>;

constexpr int kScratchSet = 2;  // of descriptors; the console's is 1
constexpr int kDiskSet = 3;     // of the first disk

// A value inside an option that QEMU cuts at commas.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    out += c;
    if (c == ',') out += c;
  }
  return out;
}

// The memory as a file: one that QEMU makes for the virtiofsd that map it as well, or `fds.ram`.
// Only a file that has a name stays out of what every QEMU saves, hence the name.
std::string memory_file(const Machine& machine, const PassedFds& fds, bool private_ram) {
  if (fds.ram >= 0)
    return fmt::format("memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/{},share={}",
                       machine.memory_mib, fds.ram, private_ram ? "off" : "on");
  if (std::ranges::any_of(fds.shares, [](int fd) { return fd >= 0; }))
    return fmt::format("memory-backend-memfd,id=ram,size={}M,share=on", machine.memory_mib);
  return {};
}

void add_machine(Argv& argv, const Machine& machine, Accel accel, const std::string& memory) {
  const bool x86 = machine.arch == Arch::kX86_64;
  const bool kvm = accel == Accel::kKvm;
  const char* threads = machine.vcpus > 1 ? "tcg,thread=multi" : "tcg,thread=single";
  std::string kind = x86 ? "microvm,acpi=on" : "virt,gic-version=max";
  if (!memory.empty()) {
    kind += ",memory-backend=ram";
    argv.insert(argv.end(), {"-object", memory});
  }
  argv.insert(argv.end(),
              {"-name", fmt::format("vmette-{}", machine.parent_pid), "-M", kind, "-accel",
               kvm ? "kvm" : threads, "-cpu", cpu_model(machine.arch, accel), "-smp",
               std::to_string(machine.vcpus), "-m", fmt::format("{}M", machine.memory_mib),
               "-global", "virtio-mmio.force-legacy=false"});
}

void add_sandbox(Argv& argv) {
#ifdef __linux__
  argv.insert(
      argv.end(),
      {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
#else
  static_cast<void>(argv);
#endif
}

void add_channels(Argv& argv) {
  argv.insert(
      argv.end(),
      {"-chardev", fmt::format("socket,id=qmp,fd={}", kQmpFd), "-mon", "chardev=qmp,mode=control",
       "-chardev", fmt::format("socket,id=control,fd={}", kControlFd), "-device",
       "virtio-serial-device", "-device", "virtserialport,chardev=control,name=vmette.control",
       // A pipe, not a socket: it joins the serial port's single bytes into whole pages.
       "-add-fd", fmt::format("fd={},set=1", kConsoleFd), "-chardev",
       "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console"});
}

void add_block(Argv& argv, const nlohmann::json& node, const std::string& name,
               const std::string& serial) {
  argv.insert(argv.end(),
              {"-blockdev", node.dump(), "-device",
               fmt::format("virtio-blk-device,drive={},serial={},werror=report,rerror=report", name,
                           escaped(serial))});
}

// The file or device that has this path.
nlohmann::json named_node(const Disk& disk, const std::string& name) {
  struct stat info{};
  const bool device = stat(disk.path.c_str(), &info) == 0 && S_ISBLK(info.st_mode);
  return {{"driver", "raw"},
          {"node-name", name},
          {"read-only", disk.read_only},
          {"discard", "unmap"},
          {"file",
           {{"driver", device ? "host_device" : "file"},
            {"filename", disk.path},
            {"locking", "auto"},
            {"read-only", disk.read_only},
            {"discard", "unmap"},
            {"aio", "threads"}}}};
}

// A file without a name: the descriptor is all that there is of it. What the guest flushes has
// nowhere to survive.
nlohmann::json unnamed_node(Argv& argv, const std::string& name, int fd, int set) {
  argv.insert(argv.end(), {"-add-fd", fmt::format("fd={},set={}", fd, set)});
  return {{"driver", "raw"},
          {"node-name", name},
          {"discard", "unmap"},
          {"cache", {{"no-flush", true}}},
          {"file",
           {{"driver", "file"},
            {"filename", fmt::format("/dev/fdset/{}", set)},
            {"locking", "off"},
            {"discard", "unmap"},
            {"cache", {{"no-flush", true}}},
            {"aio", "threads"}}}};
}

nlohmann::json stand_in(const std::string& name, uint64_t bytes, bool read_only) {
  return {{"driver", "null-co"}, {"node-name", name}, {"size", bytes}, {"read-only", read_only}};
}

void add_disks(Argv& argv, const Machine& machine, const PassedFds& fds,
               const std::vector<uint64_t>& stand_ins) {
  for (size_t i = 0; i < machine.disks.size(); ++i) {
    const Disk& disk = machine.disks[i];
    const std::string name = disk_node(i);
    const int fd = i < fds.disks.size() ? fds.disks[i] : -1;
    const auto node = !stand_ins.empty() ? stand_in(name, stand_ins[i], disk.read_only)
                      : fd >= 0 ? unnamed_node(argv, name, fd, kDiskSet + static_cast<int>(i))
                                : named_node(disk, name);
    add_block(argv, node, name, disk.serial);
  }
  if (!machine.scratch) return;
  const auto node = !stand_ins.empty() ? stand_in(kScratchNode, stand_ins.back(), false)
                                       : unnamed_node(argv, kScratchNode, fds.scratch, kScratchSet);
  add_block(argv, node, kScratchNode, machine.scratch->serial);
}

void add_virtiofs(Argv& argv, const Share& share, size_t index, int fd) {
  argv.insert(argv.end(),
              {"-chardev", fmt::format("socket,id=share{},fd={}", index, fd), "-device",
               fmt::format("vhost-user-fs-device,chardev=share{},tag={},queue-size=1024", index,
                           escaped(share.tag))});
}

// `empty`: the directory of a share that is only reserved.
void add_9p(Argv& argv, const Share& share, size_t index, int empty) {
  const bool reserved = share.path.empty();
  const std::string path = reserved ? fmt::format("/proc/self/fd/{}", empty) : escaped(share.path);
  argv.insert(
      argv.end(),
      {"-fsdev",
       fmt::format("local,id=share{},path={},security_model=none,multidevs=remap{}", index, path,
                   share.read_only || reserved ? ",readonly=on" : ""),
       "-device",
       fmt::format("virtio-9p-device,fsdev=share{},mount_tag={}", index, escaped(share.tag))});
}

}  // namespace

std::string disk_node(size_t index) {
  return fmt::format("disk{}", index);
}

// Under emulation every iteration of `rep movsb` leaves and enters the translated code: without the
// flags that praise it, guests copy in loops that are several times as fast.
const char* cpu_model(Arch arch, Accel accel) {
  if (accel == Accel::kKvm) return "host";
  return arch == Arch::kX86_64 ? "max,-erms,-fsrm" : "max";
}

Argv qemu_argv(const Machine& machine, const std::string& program, Accel accel,
               const std::string& cmdline, const PassedFds& fds, const Beginning& beginning) {
  Argv argv = {program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S"};
  if (beginning.incoming) argv.insert(argv.end(), {"-incoming", "defer"});
  add_machine(argv, machine, accel, memory_file(machine, fds, beginning.private_ram));
  add_sandbox(argv);
  argv.insert(argv.end(), {"-kernel", machine.kernel, "-append", cmdline});
  if (!machine.initramfs.empty()) argv.insert(argv.end(), {"-initrd", machine.initramfs});
  add_channels(argv);
  add_disks(argv, machine, fds, beginning.stand_ins);
  for (size_t i = 0; i < machine.shares.size(); ++i) {
    const int fd = i < fds.shares.size() ? fds.shares[i] : -1;
    if (fd >= 0)
      add_virtiofs(argv, machine.shares[i], i, fd);
    else
      add_9p(argv, machine.shares[i], i, fds.empty_directory);
  }
  return argv;
}

}  // namespace vmette::vmm
