#include "core/rootfs/root_path.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/image_type.h"
#include "core/rootfs/file_url.h"

namespace vmette::core {
namespace {

Error unusable(const std::string& path, int error_number, const char* remedy) {
  const bool missing =
      error_number == ENOENT || error_number == ENOTDIR || error_number == ENAMETOOLONG;
  return {missing ? Code::kInvalidSpec : Code::kIo,
          fmt::format("'{}' cannot be used: {}; {}", path, errno_text(error_number), remedy),
          "rootfs", error_number};
}

Error wrong_kind(const std::string& path, const char* what) {
  return {Code::kInvalidSpec, fmt::format("'{}' {}", path, what), "rootfs"};
}

Result<void> check_directory(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0)
    return unusable(path, errno, "give the path of an existing directory");
  if (!S_ISDIR(info.st_mode))
    return wrong_kind(path,
                      "is not a directory; an image is named by its type: squashfs+file://, "
                      "erofs+file:// or ext4+file://");
  if (access(path.c_str(), R_OK | X_OK) != 0)
    return unusable(path, errno, "change its permissions or give another directory");
  return success();
}

// The type that the superblock tells has the last word.
Result<void> check_fstype(const std::string& path, const std::string& fstype) {
  const auto found = image_fstype("image", path);
  if (!found) {
    Error error = found.error();
    error.code = Code::kInvalidSpec;
    error.stage = "rootfs";
    return error;
  }
  if (found.value() == fstype) return success();
  return Error(Code::kInvalidSpec,
               fmt::format("'{}' is not a {} image but {}; its type is written {}", path, fstype,
                           found.value(), file_url_of(found.value() + "+file://", path)),
               "rootfs");
}

Result<void> check_image(const std::string& path, const std::string& fstype) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0)
    return unusable(path, errno, "give the path of an existing image");
  if (S_ISDIR(info.st_mode))
    return wrong_kind(path, "is a directory, not an image; give it as a path: /PATH or ./PATH");
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
    return wrong_kind(path, "is not a file; give the path of an image");
  if (access(path.c_str(), R_OK) != 0)
    return unusable(path, errno, "change its permissions or give another image");
  return check_fstype(path, fstype);
}

}  // namespace

std::string absolute_path(const std::string& path) {
  std::string_view rest = path;
  while (rest.substr(0, 2) == "./") {
    rest.remove_prefix(2);
    while (!rest.empty() && rest[0] == '/') rest.remove_prefix(1);
  }
  if (!rest.empty() && rest[0] == '/') return path;
  std::error_code error;
  const std::filesystem::path here = std::filesystem::current_path(error);
  if (error) return path;
  return rest.empty() || rest == "." ? here.string() : (here / rest).string();
}

Result<void> check_root(const RootfsArtifact& artifact) {
  if (artifact.path.empty()) return wrong_kind("", "is not a path; name a directory or an image");
  return artifact.fstype.empty() ? check_directory(artifact.path)
                                 : check_image(artifact.path, artifact.fstype);
}

}  // namespace vmette::core
