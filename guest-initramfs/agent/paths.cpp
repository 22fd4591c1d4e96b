#include "paths.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace vmette::agent {

namespace {

// Renames and mounts anywhere in the system make a lookup of ".." fail with EAGAIN.
constexpr int kMostLookups = 1000;

}  // namespace

UniqueFd open_in_root(int root, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  // With O_PATH nothing is opened, and other flags are an error.
  if ((flags & O_PATH) == 0) how.flags |= O_NOCTTY | O_NONBLOCK;
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  UniqueFd file;
  for (int i = 0; i < kMostLookups && !file; ++i) {
    file.reset(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
    if (!file && errno != EAGAIN) break;
  }
  return file;
}

Place place_of(int root, const std::string& path) {
  Place place;
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) {
    place.error = path.empty() ? ENOENT : EBUSY;
    return place;
  }
  const size_t slash = path.find_last_of('/', end);
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  place.name = path.substr(begin, end + 1 - begin);
  if (place.name == "." || place.name == "..") {
    place.error = EINVAL;
    return place;
  }
  place.directory = open_in_root(root, "/" + path.substr(0, begin), O_PATH | O_DIRECTORY);
  if (!place.directory) place.error = errno;
  return place;
}

int make_parents(int root, const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  for (size_t slash = path.find('/', 1); slash != std::string::npos && slash < end;
       slash = path.find('/', slash + 1)) {
    const Place place = place_of(root, path.substr(0, slash));
    // The root is there, and "." and ".." are when what is above them is.
    if (place.error == EBUSY || place.error == EINVAL) continue;
    if (place.error != 0) return place.error;
    if (mkdirat(place.directory.get(), place.name.c_str(), 0755) != 0 && errno != EEXIST)
      return errno;
  }
  return 0;
}

}  // namespace vmette::agent
