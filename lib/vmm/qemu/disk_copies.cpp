#include "vmm/qemu/disk_copies.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "vmm/qemu/failure.h"
#include "vmm/qemu/file_copy.h"
#include "vmm/qemu/scratch_disk.h"

namespace vmette::vmm {
namespace {

std::string reason(int error) {
  return std::generic_category().message(error);
}

Failure bad_copy(const Disk& disk, const std::string& what) {
  return {"bad_disk",
          fmt::format("disks: a copy of '{}' in '{}': {}", disk.path, disk.copy_in, what)};
}

UniqueFd open_image(const std::string& path) {
  return UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

}  // namespace

bool DiskCopies::needed(const Machine& machine) {
  return (machine.scratch && !machine.scratch->image.empty()) ||
         std::ranges::any_of(machine.disks, [](const Disk& disk) { return !disk.copy_in.empty(); });
}

DiskCopies::DiskCopies(const Machine& machine) : machine_(machine) {
  for (size_t i = 0; i < machine.disks.size(); ++i)
    if (!machine.disks[i].copy_in.empty()) add_disk(i);
  if (machine.scratch && !machine.scratch->image.empty()) add_scratch();
  worker_.emplace([this](const std::atomic<bool>& cancelled) { make(cancelled); });
}

void DiskCopies::add_disk(size_t index) {
  const Disk& disk = machine_.disks[index];
  UniqueFd from = open_image(disk.path);
  if (!from) throw bad_copy(disk, fmt::format("it cannot be read: {}", reason(errno)));
  UniqueFd to = unnamed_file(disk.copy_in);
  if (!to) throw bad_copy(disk, fmt::format("no file can be made there: {}", reason(errno)));
  copies_.push_back({index, std::move(from), std::move(to)});
}

void DiskCopies::add_scratch() {
  const Scratch& scratch = *machine_.scratch;
  UniqueFd from = open_image(scratch.image);
  struct stat info{};
  if (!from || fstat(from.get(), &info) != 0)
    throw bad_scratch(scratch,
                      fmt::format("'{}' cannot be read: {}", scratch.image, reason(errno)));
  if (!S_ISREG(info.st_mode) || info.st_size != static_cast<off_t>(scratch.mib << 20))
    throw bad_scratch(scratch, fmt::format("'{}' is no image of this size", scratch.image));
  UniqueFd to = unnamed_file(scratch.directory);
  if (!to)
    throw bad_scratch(scratch, fmt::format("no file can be made: {}; choose a directory on a disk "
                                           "that can be written",
                                           reason(errno)));
  copies_.push_back({std::nullopt, std::move(from), std::move(to)});
}

void DiskCopies::make(const std::atomic<bool>& cancelled) {
  for (current_ = 0; current_ < copies_.size(); ++current_)
    clone_file(copies_[current_].from.get(), copies_[current_].to.get(), cancelled);
}

bool DiskCopies::finish(Attachments& attached) {
  if (!worker_->finish()) return false;
  try {
    if (worker_->error()) std::rethrow_exception(worker_->error());
  } catch (const Cancelled&) {
    throw Failure("hypervisor", "the machine was stopped before QEMU was started");
  } catch (const CopyError& error) {
    const std::string what = error.full()
                                 ? error.reason() + "; make room there or choose another directory"
                                 : error.reason();
    const auto& disk = copies_[current_].disk;
    throw disk ? bad_copy(machine_.disks[*disk], what) : bad_scratch(*machine_.scratch, what);
  }
  attached.disks.resize(machine_.disks.size());
  for (Copy& copy : copies_)
    (copy.disk ? attached.disks[*copy.disk] : attached.scratch) = std::move(copy.to);
  return true;
}

}  // namespace vmette::vmm
