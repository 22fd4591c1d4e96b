#include "vmm/qemu/snapshot_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include "vmm/qemu/failure.h"
#include "vmm/qemu/save_directory.h"

namespace vmette::vmm {
namespace {

std::string reason(int error) {
  return std::generic_category().message(error);
}

Failure bad_snapshot(const std::string& path, const std::string& what) {
  return {"bad_snapshot", fmt::format("restore: '{}' {}", path, what)};
}

// O_NONBLOCK: a FIFO would wait for a writer.
UniqueFd open_file(const std::string& path, struct stat& info) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file || fstat(file.get(), &info) != 0)
    throw bad_snapshot(path, fmt::format("cannot be read: {}", reason(errno)));
  if (!S_ISREG(info.st_mode)) throw bad_snapshot(path, "is not a file");
  return file;
}

}  // namespace

SnapshotSource open_snapshot(const Machine& machine) {
  SnapshotSource source;
  struct stat info{};
  const std::string ram = fmt::format("{}/{}", machine.restore, kRamFile);
  source.ram = open_file(ram, info);
  const off_t wanted = off_t{machine.memory_mib} << 20;
  if (info.st_size != wanted)
    throw bad_snapshot(ram, fmt::format("has {} bytes and the machine {} of memory; give it the "
                                        "memory_mib that it was saved with",
                                        info.st_size, wanted));
  // QEMU opens it for writing, although it writes to copies of its pages only.
  if (access(ram.c_str(), W_OK) != 0)
    throw bad_snapshot(ram, fmt::format("cannot be opened for writing: {}; nothing is written to "
                                        "it, but QEMU asks for it: let this user own the snapshot",
                                        reason(errno)));
  const std::string devices = fmt::format("{}/{}", machine.restore, kDevicesFile);
  source.devices = open_file(devices, info);
  if (info.st_size == 0) throw bad_snapshot(devices, "is empty");
  return source;
}

UniqueFd make_ram(uint32_t memory_mib) {
  UniqueFd file(memfd_create("vmette-ram", MFD_CLOEXEC));
  if (!file || ftruncate(file.get(), off_t{memory_mib} << 20) != 0)
    throw Failure("hypervisor", fmt::format("cannot make a file of {} MiB in memory: {}",
                                            memory_mib, reason(errno)));
  return file;
}

UniqueFd make_empty_directory() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread changes the environment
  const char* const place = getenv("TMPDIR");
  std::string name =
      fmt::format("{}/vmette-empty-XXXXXX", place != nullptr && *place == '/' ? place : "/tmp");
  if (mkdtemp(name.data()) == nullptr)
    throw Failure("hypervisor", fmt::format("shares: no directory can be made for the reserved "
                                            "ones: '{}': {}; set TMPDIR",
                                            name, reason(errno)));
  UniqueFd directory(open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  rmdir(name.c_str());
  if (!directory) throw Failure("hypervisor", fmt::format("shares: '{}': {}", name, reason(errno)));
  return directory;
}

}  // namespace vmette::vmm
