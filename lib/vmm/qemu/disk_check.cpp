#include "vmm/qemu/disk_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "vmm/qemu/failure.h"

namespace vmette::vmm {
namespace {

constexpr off_t kSectorBytes = 512;

const char* field_of(const Disk& disk) {
  return disk.serial == kRootSerial ? "rootfs" : "disks";
}

// The kernel refuses O_EXCL for a device that is mounted, and while somebody has it so no mount.
// O_NONBLOCK: a FIFO would wait for a writer.
UniqueFd open_disk(const Disk& disk, bool claim) {
  const int mode = disk.read_only || !disk.copy_in.empty() ? O_RDONLY : O_RDWR;
  return UniqueFd(
      open(disk.path.c_str(), mode | (claim ? O_EXCL : 0) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

UniqueFd check_disk(const Disk& disk) {
  const auto bad = [&disk](const std::string& what) {
    return Failure("bad_disk", fmt::format("{}: '{}' {}", field_of(disk), disk.path, what));
  };
  const auto refused = [&bad](const char* verb, int error) {
    return bad(fmt::format("cannot be {}: {}; give a file or device that can", verb,
                           std::generic_category().message(error)));
  };
  struct stat info{};
  if (stat(disk.path.c_str(), &info) != 0) throw refused("used", errno);
  const bool device = S_ISBLK(info.st_mode);
  if (!device && !S_ISREG(info.st_mode)) throw bad("is not a file; give a raw disk image");
  if (device && !disk.copy_in.empty())
    throw bad("is a block device, of which no copy is made; give an image file");
  const bool claim = device && !disk.read_only;
  UniqueFd file = open_disk(disk, claim);
  if (!file && errno == EBUSY)
    throw Failure("disk_in_use",
                  fmt::format("{}: '{}' is mounted or in use by another machine or program of this "
                              "host; unmount it or end that one first",
                              field_of(disk), disk.path));
  if (!file) throw refused(disk.read_only ? "read" : "written", errno);
  const off_t size = lseek(file.get(), 0, SEEK_END);
  if (size < 0) throw refused("used", errno);
  if (size == 0) throw bad("is empty; give it a size, for example with truncate -s 1G");
  if (!disk.read_only && size % kSectorBytes != 0)
    throw bad(fmt::format("has {} bytes; the size of a writable disk is a multiple of {}", size,
                          kSectorBytes));
  return claim ? std::move(file) : UniqueFd();
}

}  // namespace

std::vector<UniqueFd> claim_disks(const std::vector<Disk>& disks) {
  std::vector<UniqueFd> claims;
  for (const Disk& disk : disks)
    if (UniqueFd claim = check_disk(disk)) claims.push_back(std::move(claim));
  return claims;
}

std::string disk_in_use(const std::string& words, const std::vector<Disk>& disks) {
  if (words.find("Failed to get ") == std::string::npos || words.find(" lock") == std::string::npos)
    return {};
  for (const Disk& disk : disks)
    if (words.find(fmt::format("the image [{}]?", disk.path)) != std::string::npos)
      return fmt::format(
          "{}: '{}' is in use by another machine or program; end that one first, or attach it "
          "read-only to both",
          field_of(disk), disk.path);
  return "disks: one is in use by another machine or program; end that one first, or attach it "
         "read-only to both";
}

}  // namespace vmette::vmm
