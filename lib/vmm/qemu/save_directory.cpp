#include "vmm/qemu/save_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "vmm/qemu/failure.h"

namespace vmette::vmm {
namespace {

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

Failure save_failed(const std::string& path, const char* what, int error) {
  return {"save_failed",
          fmt::format("save: '{}' {}: {}", path, what, std::generic_category().message(error))};
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

// All that is in a directory, directories with what they hold: the library adds to a snapshot what
// it likes. Leaves what cannot be removed.
void empty_directory(UniqueFd fd) {
  const int raw = fd.get();
  const std::unique_ptr<DIR, CloseDirectory> list(fdopendir(raw));
  if (!list) return;
  static_cast<void>(fd.release());
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a list of its own
  while (const dirent* entry = readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (unlinkat(raw, entry->d_name, 0) == 0 || (errno != EISDIR && errno != EPERM)) continue;
    if (UniqueFd inner(openat(raw, entry->d_name, kDirectory)); inner)
      empty_directory(std::move(inner));
    unlinkat(raw, entry->d_name, AT_REMOVEDIR);
  }
}

}  // namespace

std::string disk_file(size_t index) {
  return fmt::format("disk{}", index);
}

SaveDirectory::SaveDirectory(std::string path) : path_(std::move(path)) {
  if (mkdir(path_.c_str(), 0700) != 0) throw save_failed(path_, "cannot be made", errno);
  fd_.reset(open(path_.c_str(), kDirectory));
  if (!fd_ || flock(fd_.get(), LOCK_SH | LOCK_NB) != 0) {
    const int error = errno;
    rmdir(path_.c_str());
    fd_.reset();
    throw save_failed(path_, "cannot be locked", error);
  }
}

SaveDirectory::~SaveDirectory() {
  if (!fd_ || !in_place()) return;
  empty_directory(UniqueFd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0)));
  rmdir(path_.c_str());
}

bool SaveDirectory::in_place() const {
  struct stat here{};
  struct stat named{};
  return fstat(fd_.get(), &here) == 0 && lstat(path_.c_str(), &named) == 0 &&
         here.st_dev == named.st_dev && here.st_ino == named.st_ino;
}

UniqueFd SaveDirectory::create(const std::string& name) const {
  UniqueFd file(openat(fd_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) throw save_failed(fmt::format("{}/{}", path_, name), "cannot be made", errno);
  return file;
}

void SaveDirectory::remove(const std::string& name) const {
  unlinkat(fd_.get(), name.c_str(), 0);
}

}  // namespace vmette::vmm
