#include "vmm/qemu/save.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <system_error>

#include "vmm/qemu/file_copy.h"
#include "vmm/qemu/state_pipe.h"

namespace vmette::vmm {
namespace {

using json = nlohmann::json;

// The stream of a machine whose memory is in it, until it has been read again.
constexpr const char* kStreamFile = "stream";

std::string reason(int error) {
  return std::generic_category().message(error);
}

Failure save_failed(const std::string& what) {
  return {"save_failed", "save: " + what};
}

UniqueFd duplicate(const UniqueFd& fd) {
  return UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

uint64_t bytes_of(const UniqueFd& fd) {
  const off_t end = lseek(fd.get(), 0, SEEK_END);
  return end > 0 ? static_cast<uint64_t>(end) : 0;
}

}  // namespace

SaveSources save_sources(const Machine& machine, const Attachments& attached) {
  SaveSources sources;
  if (machine.restore.empty()) sources.ram = duplicate(attached.ram);
  for (size_t i = 0; i < machine.disks.size(); ++i) {
    const Disk& disk = machine.disks[i];
    const bool copied = i < attached.disks.size() && attached.disks[i];
    UniqueFd file = copied ? duplicate(attached.disks[i])
                           : UniqueFd(open(disk.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file)
      throw Failure("bad_disk", fmt::format("disks: '{}' cannot be read: {}; a machine that can be "
                                            "saved reads it",
                                            disk.path, reason(errno)));
    sources.disk_bytes.push_back(bytes_of(file));
    if (!disk.read_only) sources.disks.push_back({disk_file(i), std::move(file)});
  }
  if (machine.scratch) {
    sources.disk_bytes.push_back(bytes_of(attached.scratch));
    sources.disks.push_back({kScratchFile, duplicate(attached.scratch)});
  }
  return sources;
}

Save::Save(Hypervisor& qemu, const Machine& machine, const LaunchPlan& plan,
           const SaveSources& sources, SaveDirectory directory, Wish wish)
    : qemu_(qemu),
      machine_(machine),
      plan_(plan),
      sources_(sources),
      directory_(std::move(directory)),
      wish_(wish),
      running_(wish.running) {
  const char* stream = with_memory() ? kStreamFile : kDevicesFile;
  files_.push_back({stream, directory_.create(stream)});
  if (!with_memory()) files_.push_back({kRamFile, directory_.create(kRamFile), sources_.ram.get()});
  for (const auto& disk : sources_.disks)
    files_.push_back({disk.name, directory_.create(disk.name), disk.file.get()});
  try {
    begin();
  } catch (const std::system_error& error) {
    throw save_failed(error.what());
  }
}

Save::~Save() {
  for (auto* worker : {&reader_, &copier_, &syncer_})
    if (*worker) (*worker)->cancel();
}

// All commands at once: QEMU executes them in order.
void Save::begin() {
  StatePipe pipe = make_state_pipe();
  pipe_ = std::move(pipe.reader);
  reader_.emplace([from = pipe_.get(), to = files_[0].fd.get()](const std::atomic<bool>& stop) {
    drain_pipe(from, to, stop);
  });
  begin_ = Clock::now();
  stopped_ = !wish_.running;
  if (wish_.running)
    qemu_.qmp().execute("stop", [this](const std::string& error, const json&) {
      stopped_ = true;
      if (!error.empty()) fail(save_failed("the machine does not stop: " + error));
    });
  qemu_.write_state(std::move(pipe.writer), with_memory(), [this](const std::string& error) {
    moved_ = true;
    if (!error.empty()) fail(save_failed("QEMU does not save the machine: " + error));
  });
}

void Save::watch(const AddWatch& add) {
  for (auto* worker : {&reader_, &copier_, &syncer_})
    if (*worker) add((*worker)->fd(), POLLIN, [](short) {});
  if (second_) second_->watch(add);
}

void Save::step() {
  try {
    if (phase_ == Phase::kCapturing) step_capture();
    if (phase_ == Phase::kRewriting) step_rewrite();
    if (phase_ == Phase::kSyncing) step_sync();
  } catch (const Failure& failure) {
    fail(failure.code == "save_failed" ? failure : save_failed(failure.what()));
    phase_ = Phase::kOver;
  } catch (const std::system_error& error) {
    fail(save_failed(error.what()));
    phase_ = Phase::kOver;
  }
}

void Save::step_capture() {
  if (stopped_ && !copier_ && !copied_) start_copies();
  if (reader_ && reader_->finish()) {
    take_error(*reader_, files_[0].name);
    reader_.reset();
    // QEMU sees it, if it still writes.
    pipe_.reset();
  }
  if (copier_ && copier_->finish()) {
    take_error(*copier_, current_ < files_.size() ? files_[current_].name : "");
    copier_.reset();
    copied_ = true;
  }
  if (failure_) {
    if (copier_) copier_->cancel();
    if (reader_) reader_->cancel();
  }
  if (stopped_ && moved_ && copied_ && !reader_) let_go();
}

void Save::start_copies() {
  if (files_.size() == 1 || failure_) {
    copied_ = true;
    return;
  }
  try {
    copier_.emplace([this](const std::atomic<bool>& cancelled) { copy_all(cancelled); });
  } catch (const std::system_error& error) {
    fail(save_failed(error.what()));
    copied_ = true;
  }
}

void Save::copy_all(const std::atomic<bool>& cancelled) {
  for (current_ = 1; current_ < files_.size(); ++current_) {
    const File& file = files_[current_];
    if (file.name == kRamFile)
      copy_memory(file.source, file.fd.get(), cancelled);
    else
      clone_file(file.source, file.fd.get(), cancelled);
  }
}

void Save::let_go() {
  phase_ = Phase::kLettingGo;
  if (!(failure_ ? wish_.running : wish_.resume)) {
    running_ = false;
    pause_us_ =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin_).count();
    return go_on();
  }
  qemu_.qmp().execute("cont", [this](const std::string& error, const json&) {
    running_ = continued_ = error.empty();
    pause_us_ =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin_).count();
    if (!error.empty()) fail(save_failed("the machine does not go on: " + error));
    go_on();
  });
}

void Save::go_on() {
  if (failure_)
    phase_ = Phase::kOver;
  else
    phase_ = with_memory() ? Phase::kRewriting : Phase::kSyncing;
}

void Save::rewrite() {
  files_.push_back({kRamFile, directory_.create(kRamFile)});
  files_.push_back({kDevicesFile, directory_.create(kDevicesFile)});
  const size_t last = files_.size() - 1;
  second_.emplace(
      machine_, plan_, sources_.disk_bytes,
      SecondSave::Files{files_[0].fd.get(), files_[last - 1].fd.get(), files_[last].fd.get()});
}

void Save::step_rewrite() {
  if (!second_ && !failure_) rewrite();
  if (second_ && failure_) second_->cancel();
  if (second_) second_->step();
  if (second_ && !second_->over()) return;
  if (second_ && !second_->error().empty())
    fail(
        save_failed(fmt::format("the memory of a machine that was itself restored cannot be "
                                "written to '{}': {}",
                                directory_.path(), second_->error())));
  second_.reset();
  directory_.remove(files_[0].name);
  files_.erase(files_.begin());
  phase_ = failure_ ? Phase::kOver : Phase::kSyncing;
}

void Save::step_sync() {
  if (!syncer_ && !failure_)
    syncer_.emplace([this](const std::atomic<bool>& cancelled) { sync_all(cancelled); });
  if (syncer_ && !syncer_->finish()) return;
  if (syncer_) take_error(*syncer_, current_ < files_.size() ? files_[current_].name : "");
  syncer_.reset();
  phase_ = Phase::kOver;
}

void Save::sync_all(const std::atomic<bool>& cancelled) {
  for (current_ = 0; current_ < files_.size(); ++current_) {
    const File& file = files_[current_];
    // A QEMU that looks at a page of zeros may have made it one that is stored.
    if (with_memory() && file.name == kRamFile) punch_zeros(file.fd.get(), cancelled);
    sync_file(file.fd.get(), cancelled);
  }
  if (fsync(directory_.fd()) != 0) throw CopyError(errno, false);
}

void Save::cancel() {
  fail(Failure("hypervisor", "the machine was stopped while it was saved"));
  for (auto* worker : {&reader_, &copier_, &syncer_})
    if (*worker) (*worker)->cancel();
  if (second_) second_->cancel();
}

void Save::fail(const Failure& failure) {
  if (!failure_) failure_ = failure;
}

// `name`: of the file that the worker was at.
void Save::take_error(const Worker& worker, const std::string& name) {
  try {
    if (worker.error()) std::rethrow_exception(worker.error());
  } catch (const Cancelled&) {
    // For a reason that is known, else this one.
    fail(save_failed("it was stopped"));
  } catch (const CopyError& error) {
    const std::string path = fmt::format("{}/{}", directory_.path(), name);
    if (error.reading)
      fail(save_failed(fmt::format("what becomes '{}' cannot be read: {}", path, error.reason())));
    else
      fail(save_failed(
          fmt::format("'{}' cannot be written: {}{}", path, error.reason(),
                      error.full() ? "; make room there or choose another place" : "")));
  }
}

std::vector<SavedFile> Save::files() const {
  constexpr uint64_t kBlockBytes = 512;  // of st_blocks, whatever the file system's are
  std::vector<SavedFile> list;
  for (const File& file : files_) {
    struct stat info{};
    if (fstat(file.fd.get(), &info) != 0) continue;
    list.push_back({file.name, static_cast<uint64_t>(info.st_size),
                    static_cast<uint64_t>(info.st_blocks) * kBlockBytes});
  }
  return list;
}

}  // namespace vmette::vmm
