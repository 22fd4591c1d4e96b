#include "vmm/qemu/scratch_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <system_error>

#include "vmm/qemu/failure.h"
#include "vmm/qemu/program.h"
#include "vmm/qemu/tool.h"

namespace vmette::vmm {
namespace {

constexpr std::chrono::seconds kFormatTime{30};
constexpr int kDiskFd = 3;  // of mke2fs
// No journal, nothing that is written before it is needed, and the same whatever the host's
// mke2fs.conf says.
constexpr const char* kFeatures =
    "none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,huge_file,"
    "large_file,sparse_super,uninit_bg";

Failure bad_scratch(const Scratch& scratch, const std::string& what) {
  return {"bad_scratch", fmt::format("scratch_mib: a disk of {} MiB in '{}': {}", scratch.mib,
                                     scratch.directory, what)};
}

std::string reason(int error) {
  return std::generic_category().message(error);
}

// Not every file system has O_TMPFILE.
UniqueFd unnamed_file(const std::string& directory) {
#ifdef O_TMPFILE
  UniqueFd file(open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600));
  if (file || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return file;
#endif
  std::string name = directory + "/.vmette-scratch-XXXXXX";
  UniqueFd named(mkostemp(name.data(), O_CLOEXEC));
  if (named) unlink(name.c_str());
  return named;
}

void format(const Scratch& scratch, int disk) {
  ChildPlan plan;
  plan.argv = {find_mke2fs(),
               "-q",
               "-F",
               "-t",
               "ext4",
               "-O",
               kFeatures,
               "-m",
               "0",
               "-E",
               "lazy_itable_init=1,nodiscard,root_owner=0:0",
               fmt::format("/dev/fd/{}", kDiskFd)};
  plan.env = {"PATH=/usr/bin:/bin", "LC_ALL=C", "MKE2FS_CONFIG=/dev/null"};
  plan.fds = {disk};
  ToolEnd end;
  try {
    end = run_tool(std::move(plan), kFormatTime);
  } catch (const std::system_error& error) {
    throw Failure("not_found", fmt::format("scratch_mib: {}", error.what()));
  }
  if (!end.in_time)
    throw bad_scratch(scratch, "mke2fs did not end in time; is the disk overloaded?");
  if (end.status == 0) return;
  const std::string words = last_line(end.output);
  throw bad_scratch(scratch,
                    fmt::format("mke2fs {}{}; make room there or choose another directory",
                                describe_status(end.status), words.empty() ? "" : ": " + words));
}

}  // namespace

std::string find_mke2fs() {
  const char* variable = getenv("VMETTE_MKE2FS");  // NOLINT(concurrency-mt-unsafe): one thread
  if (variable != nullptr && *variable != '\0') {
    if (is_program(variable)) return variable;
    throw Failure("not_found", fmt::format("VMETTE_MKE2FS: {} cannot be run", variable));
  }
  std::string found = find_in_path("mke2fs");
  for (const char* usual :
       {"/usr/sbin/mke2fs", "/sbin/mke2fs", "/opt/homebrew/opt/e2fsprogs/sbin/mke2fs",
        "/usr/local/opt/e2fsprogs/sbin/mke2fs"})
    if (found.empty() && is_program(usual)) found = usual;
  if (found.empty())
    throw Failure("not_found",
                  "scratch_mib: the disk is formatted with mke2fs, which is not installed; install "
                  "the package e2fsprogs or set VMETTE_MKE2FS");
  return found;
}

UniqueFd make_scratch_disk(const Scratch& scratch) {
  UniqueFd file = unnamed_file(scratch.directory);
  if (!file)
    throw bad_scratch(scratch, fmt::format("no file can be made: {}; choose a directory on a disk "
                                           "that can be written",
                                           reason(errno)));
  if (ftruncate(file.get(), static_cast<off_t>(scratch.mib << 20)) != 0)
    throw bad_scratch(scratch, fmt::format("the file system has no files of this size: {}; ask for "
                                           "less or choose another directory",
                                           reason(errno)));
  format(scratch, file.get());
  return file;
}

}  // namespace vmette::vmm
