#include "vmm/qemu/disk_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"
#include "vmm/qemu/failure.h"

namespace vmette::vmm {
namespace {

constexpr off_t kSectorBytes = 512;

void check_disk(const Disk& disk) {
  const auto bad = [&disk](const std::string& what) {
    return Failure("bad_disk", fmt::format("disks: '{}' {}", disk.path, what));
  };
  const auto refused = [&bad](const char* verb, int error) {
    return bad(fmt::format("cannot be {}: {}; give a file or device that can", verb,
                           std::generic_category().message(error)));
  };
  struct stat info{};
  if (stat(disk.path.c_str(), &info) != 0) throw refused("used", errno);
  const bool device = S_ISBLK(info.st_mode);
  if (!device && !S_ISREG(info.st_mode)) throw bad("is not a file; give a raw disk image");
  // The kernel refuses O_EXCL for a device that is mounted.
  const int flags = (disk.read_only ? O_RDONLY : O_RDWR | (device ? O_EXCL : 0)) | O_CLOEXEC;
  const UniqueFd file(open(disk.path.c_str(), flags));
  if (!file && errno == EBUSY)
    throw bad("is mounted or in use on this host; unmount it, or attach it read-only");
  if (!file) throw refused(disk.read_only ? "read" : "written", errno);
  const off_t size = lseek(file.get(), 0, SEEK_END);
  if (size == 0) throw bad("is empty; give it a size, for example with truncate -s 1G");
  if (!disk.read_only && size % kSectorBytes != 0)
    throw bad(fmt::format("has {} bytes; the size of a writable disk is a multiple of {}", size,
                          kSectorBytes));
}

}  // namespace

void check_disks(const std::vector<Disk>& disks) {
  for (const Disk& disk : disks) check_disk(disk);
}

std::string disk_in_use(const std::string& words) {
  if (words.find("Failed to get ") == std::string::npos || words.find(" lock") == std::string::npos)
    return {};
  const size_t begin = words.find("the image [");
  const size_t end = words.rfind("]?");
  const bool named = begin != std::string::npos && end != std::string::npos && end > begin + 11;
  return fmt::format(
      "disks: {} is in use by another machine or program; end that one first, or attach the disk "
      "read-only to both",
      named ? "'" + words.substr(begin + 11, end - begin - 11) + "'" : "a disk");
}

}  // namespace vmette::vmm
