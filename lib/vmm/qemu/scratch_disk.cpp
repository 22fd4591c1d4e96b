#include "vmm/qemu/scratch_disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "vmm/qemu/program.h"
#include "vmm/qemu/tool.h"

namespace vmette::vmm {
namespace {

constexpr size_t kMaxWords = 4096;
constexpr int kDiskFd = 3;  // of mke2fs
// No journal, nothing that is written before it is needed, and the same whatever the host's
// mke2fs.conf says.
constexpr const char* kFeatures =
    "none,64bit,dir_index,dir_nlink,ext_attr,extent,extra_isize,filetype,flex_bg,huge_file,"
    "large_file,sparse_super,uninit_bg";

std::string reason(int error) {
  return std::generic_category().message(error);
}

UniqueFd sparse_file(const Scratch& scratch) {
  UniqueFd file = unnamed_file(scratch.directory);
  if (!file)
    throw bad_scratch(scratch, fmt::format("no file can be made: {}; choose a directory on a disk "
                                           "that can be written",
                                           reason(errno)));
  if (ftruncate(file.get(), static_cast<off_t>(scratch.mib << 20)) != 0)
    throw bad_scratch(scratch, fmt::format("the file system has no files of this size: {}; ask for "
                                           "less or choose another directory",
                                           reason(errno)));
  return file;
}

ChildPlan mke2fs_plan(int disk, int output) {
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
  plan.out = output;
  plan.fds = {disk};
  return plan;
}

}  // namespace

Failure bad_scratch(const Scratch& scratch, const std::string& what) {
  return {"bad_scratch", fmt::format("scratch_mib: a disk of {} MiB in '{}': {}", scratch.mib,
                                     scratch.directory, what)};
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

std::string find_mke2fs() {
  std::string found =
      find_tool("VMETTE_MKE2FS", "mke2fs",
                {"/usr/sbin/mke2fs", "/sbin/mke2fs", "/opt/homebrew/opt/e2fsprogs/sbin/mke2fs",
                 "/usr/local/opt/e2fsprogs/sbin/mke2fs"});
  if (found.empty())
    throw Failure("not_found",
                  "scratch_mib: the disk is formatted with mke2fs, which is not installed; install "
                  "the package e2fsprogs or set VMETTE_MKE2FS");
  return found;
}

ScratchDisk::ScratchDisk(const Scratch& scratch) : scratch_(scratch), file_(sparse_file(scratch)) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw bad_scratch(scratch, "cannot make a pipe: " + reason(errno));
  output_.reset(ends[0]);
  const UniqueFd writer(ends[1]);
  fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  const ChildPlan plan = mke2fs_plan(file_.get(), writer.get());
  try {
    mke2fs_.emplace(plan);
  } catch (const std::system_error& error) {
    throw Failure("not_found",
                  fmt::format("scratch_mib: mke2fs cannot be run: {}; install the package "
                              "e2fsprogs or set VMETTE_MKE2FS",
                              error.what()));
  }
}

void ScratchDisk::on_output() {
  if (!output_) return;
  std::array<char, 1024> bytes{};
  const ssize_t count = read(output_.get(), bytes.data(), bytes.size());
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) output_.reset();
  if (count > 0) words_.append(bytes.data(), static_cast<size_t>(count));
  if (words_.size() > kMaxWords) words_.erase(0, words_.size() - kMaxWords);
}

std::optional<UniqueFd> ScratchDisk::finish() {
  const std::optional<int> status = mke2fs_->reap();
  if (!status) return std::nullopt;
  if (*status == 0) return std::move(file_);
  for (size_t before = 0; output_; before = words_.size()) {
    on_output();
    if (words_.size() == before) break;
  }
  const std::string words = last_line(words_);
  throw bad_scratch(scratch_,
                    fmt::format("mke2fs {}{}; make room there or choose another directory",
                                describe_status(*status), words.empty() ? "" : ": " + words));
}

}  // namespace vmette::vmm
