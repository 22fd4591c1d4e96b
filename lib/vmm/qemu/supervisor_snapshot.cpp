#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "vmm/qemu/file_copy.h"
#include "vmm/qemu/state_pipe.h"
#include "vmm/qemu/supervisor.h"

namespace vmette::vmm {

using json = nlohmann::json;

void Supervisor::start() {
  if (state_ != State::kCreated) throw bad_request("start: there is no machine that waits for it");
  if (machine_.restore.empty()) return command("cont", State::kRunning);
  load_snapshot();
}

void Supervisor::load_snapshot() {
  try {
    StatePipe pipe = make_state_pipe();
    load_pipe_ = std::move(pipe.writer);
    loader_.emplace([from = source_.devices.get(), to = load_pipe_.get()](
                        const std::atomic<bool>& cancelled) { fill_pipe(from, to, cancelled); });
    loading_ = true;
    hypervisor_->read_state(std::move(pipe.reader), false, [this](const std::string& error) {
      if (!loading_) return;  // refused already
      if (!error.empty()) return refuse_load(error);
      loading_ = false;
      command("cont", State::kRunning);
    });
  } catch (const std::system_error& error) {
    throw Failure("hypervisor", error.what());
  }
}

void Supervisor::check_load() {
  if (!loader_ || !loader_->finish()) return;
  const std::exception_ptr thrown = loader_->error();
  loader_.reset();
  load_pipe_.reset();
  source_ = {};
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const CopyError& error) {
    refuse_load("it cannot be read: " + error.reason());
  }
}

// What it was to be is lost: such a machine can only end.
void Supervisor::refuse_load(const std::string& why) {
  loading_ = false;
  refuse(Failure("restore_failed", fmt::format("restore: QEMU does not load '{}/{}': {}",
                                               machine_.restore, kDevicesFile, why)));
  hypervisor_->kill();
}

void Supervisor::save(const Request& request) {
  const std::string dir = text_field(request.body, "dir");
  const json resume = request.body.value("resume", json(true));
  if (state_ != State::kRunning && state_ != State::kPaused)
    throw bad_request("save: the machine neither runs nor is paused");
  if (!dir.starts_with('/') || dir.find('\0') != std::string::npos)
    throw bad_request("dir: must be an absolute path");
  if (!resume.is_boolean()) throw bad_request("resume: must be true or false");
  if (!machine_.can_be_saved())
    throw Failure("not_snapshottable",
                  "save: the machine was not created as one that can be saved; set snapshottable");
  // Those that have got other names belong to the library.
  saved_.remove_if([](const SaveDirectory& saved) { return !saved.in_place(); });
  save_.emplace(*hypervisor_, machine_, plan_, save_sources_, SaveDirectory(dir),
                Save::Wish{state_ == State::kRunning, resume == true});
  state_ = State::kSaving;
}

void Supervisor::check_save() {
  if (!save_) return;
  save_->step();
  if (save_->take_continued()) send({{"event", "continued"}});
  if (!save_->over()) return;
  if (state_ == State::kSaving) state_ = save_->running() ? State::kRunning : State::kPaused;
  if (save_->failure()) {
    const Failure failure = *save_->failure();
    // Its directory first: whoever is told may try again.
    save_.reset();
    refuse(failure);
  } else {
    json files = json::array();
    for (const SavedFile& file : save_->files())
      files.push_back({{"name", file.name}, {"size", file.size}, {"stored", file.stored}});
    saved_.push_back(save_->take_directory());
    answer({{"pause_us", save_->pause_us()}, {"files", std::move(files)}});
    save_.reset();
  }
  if (state_ == State::kEnded) save_sources_ = {};
}

}  // namespace vmette::vmm
