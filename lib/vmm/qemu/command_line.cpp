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

// A value inside an option that QEMU cuts at commas.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    out += c;
    if (c == ',') out += c;
  }
  return out;
}

// Under emulation every iteration of `rep movsb` leaves and enters the translated code: without the
// flags that praise it, guests copy in loops that are several times as fast.
const char* cpu_model(Arch arch, Accel accel) {
  if (accel == Accel::kKvm) return "host";
  return arch == Arch::kX86_64 ? "max,-erms,-fsrm" : "max";
}

// `shared_ram`: the machine's memory is a file that a virtiofsd can map as well.
void add_machine(Argv& argv, const Machine& machine, Accel accel, bool shared_ram) {
  const bool x86 = machine.arch == Arch::kX86_64;
  const bool kvm = accel == Accel::kKvm;
  const char* threads = machine.vcpus > 1 ? "tcg,thread=multi" : "tcg,thread=single";
  std::string kind = x86 ? "microvm,acpi=on" : "virt,gic-version=max";
  if (shared_ram) {
    kind += ",memory-backend=ram";
    argv.insert(argv.end(), {"-object", fmt::format("memory-backend-memfd,id=ram,size={}M,share=on",
                                                    machine.memory_mib)});
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

void add_disk(Argv& argv, const Disk& disk, size_t index) {
  struct stat info{};
  const bool device = stat(disk.path.c_str(), &info) == 0 && S_ISBLK(info.st_mode);
  const nlohmann::json node = {{"driver", "raw"},
                               {"node-name", disk_node(index)},
                               {"read-only", disk.read_only},
                               {"discard", "unmap"},
                               {"file",
                                {{"driver", device ? "host_device" : "file"},
                                 {"filename", disk.path},
                                 {"locking", "auto"},
                                 {"read-only", disk.read_only},
                                 {"discard", "unmap"},
                                 {"aio", "threads"}}}};
  argv.insert(argv.end(),
              {"-blockdev", node.dump(), "-device",
               fmt::format("virtio-blk-device,drive={},serial={},werror=report,rerror=report",
                           disk_node(index), escaped(disk.serial))});
}

// The descriptor is all that there is of it. What the guest flushes has nowhere to survive.
void add_scratch(Argv& argv, const Scratch& scratch, int fd) {
  const nlohmann::json node = {{"driver", "raw"},
                               {"node-name", kScratchNode},
                               {"discard", "unmap"},
                               {"cache", {{"no-flush", true}}},
                               {"file",
                                {{"driver", "file"},
                                 {"filename", fmt::format("/dev/fdset/{}", kScratchSet)},
                                 {"locking", "off"},
                                 {"discard", "unmap"},
                                 {"cache", {{"no-flush", true}}},
                                 {"aio", "threads"}}}};
  argv.insert(
      argv.end(),
      {"-add-fd", fmt::format("fd={},set={}", fd, kScratchSet), "-blockdev", node.dump(), "-device",
       fmt::format("virtio-blk-device,drive={},serial={},werror=report,rerror=report", kScratchNode,
                   escaped(scratch.serial))});
}

void add_virtiofs(Argv& argv, const Share& share, size_t index, int fd) {
  argv.insert(argv.end(),
              {"-chardev", fmt::format("socket,id=share{},fd={}", index, fd), "-device",
               fmt::format("vhost-user-fs-device,chardev=share{},tag={},queue-size=1024", index,
                           escaped(share.tag))});
}

void add_9p(Argv& argv, const Share& share, size_t index) {
  argv.insert(
      argv.end(),
      {"-fsdev",
       fmt::format("local,id=share{},path={},security_model=none,multidevs=remap{}", index,
                   escaped(share.path), share.read_only ? ",readonly=on" : ""),
       "-device",
       fmt::format("virtio-9p-device,fsdev=share{},mount_tag={}", index, escaped(share.tag))});
}

}  // namespace

std::string disk_node(size_t index) {
  return fmt::format("disk{}", index);
}

Argv qemu_argv(const Machine& machine, const std::string& program, Accel accel,
               const std::string& cmdline, const PassedFds& fds) {
  Argv argv = {program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S"};
  const bool shared_ram = std::ranges::any_of(fds.shares, [](int fd) { return fd >= 0; });
  add_machine(argv, machine, accel, shared_ram);
  add_sandbox(argv);
  argv.insert(argv.end(), {"-kernel", machine.kernel, "-append", cmdline});
  if (!machine.initramfs.empty()) argv.insert(argv.end(), {"-initrd", machine.initramfs});
  add_channels(argv);
  for (size_t i = 0; i < machine.disks.size(); ++i) add_disk(argv, machine.disks[i], i);
  if (machine.scratch) add_scratch(argv, *machine.scratch, fds.scratch);
  for (size_t i = 0; i < machine.shares.size(); ++i) {
    const int fd = i < fds.shares.size() ? fds.shares[i] : -1;
    if (fd >= 0)
      add_virtiofs(argv, machine.shares[i], i, fd);
    else
      add_9p(argv, machine.shares[i], i);
  }
  return argv;
}

}  // namespace vmette::vmm
