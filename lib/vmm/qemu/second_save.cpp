#include "vmm/qemu/second_save.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "vmm/qemu/file_copy.h"
#include "vmm/qemu/snapshot_source.h"
#include "vmm/qemu/state_pipe.h"

namespace vmette::vmm {

SecondSave::SecondSave(const Machine& machine, const LaunchPlan& plan,
                       const std::vector<uint64_t>& disk_bytes, const Files& files)
    : files_(files) {
  if (ftruncate(files_.ram, off_t{machine.memory_mib} << 20) != 0)
    throw std::system_error(errno, std::generic_category(), "the file of the memory");
  Machine twin = machine;
  for (Share& share : twin.shares) share.path.clear();
  Attachments attached;
  attached.ram.reset(fcntl(files_.ram, F_DUPFD_CLOEXEC, 0));
  if (!twin.shares.empty()) attached.empty_directory = make_empty_directory();
  Beginning beginning;
  beginning.incoming = true;
  beginning.stand_ins = disk_bytes;
  qemu_.emplace(twin, plan.program, plan.accel.accel, plan.cmdline, attached, beginning);
  qemu_->qmp().execute("qmp_capabilities", [this](const std::string& error, const nlohmann::json&) {
    if (!error.empty()) fail(error);
  });
  load();
}

void SecondSave::load() {
  StatePipe pipe = make_state_pipe();
  pipe_ = std::move(pipe.writer);
  worker_.emplace([from = files_.stream, to = pipe_.get()](const std::atomic<bool>& stop) {
    fill_pipe(from, to, stop);
  });
  qemu_->read_state(std::move(pipe.reader), true, [this](const std::string& error) {
    moved_ = true;
    if (!error.empty()) fail(error);
  });
}

void SecondSave::save() {
  saving_ = true;
  moved_ = false;
  StatePipe pipe = make_state_pipe();
  pipe_ = std::move(pipe.reader);
  worker_.emplace([from = pipe_.get(), to = files_.devices](const std::atomic<bool>& stop) {
    drain_pipe(from, to, stop);
  });
  qemu_->write_state(std::move(pipe.writer), false, [this](const std::string& error) {
    moved_ = true;
    if (!error.empty()) fail(error);
  });
}

void SecondSave::watch(const AddWatch& add) {
  if (over_) return;
  if (worker_) add(worker_->fd(), POLLIN, [](short) {});
  Qmp& qmp = qemu_->qmp();
  if (qmp.open())
    add(qmp.fd(), POLLIN | (qmp.wants_write() ? POLLOUT : 0), [&qmp](short) { qmp.on_ready(); });
  add(qemu_->stderr_fd(), POLLIN, [this](short) { qemu_->on_stderr(); });
  add(qemu_->console_fd(), POLLIN, [this](short) { qemu_->on_console(); });
}

void SecondSave::step() {
  if (over_) return;
  if (worker_ && worker_->finish()) {
    const std::exception_ptr thrown = worker_->error();
    worker_.reset();
    // Its end is what the other side waits for.
    pipe_.reset();
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Cancelled&) {
      fail("it was stopped");
    } catch (const CopyError& error) {
      fail(error.reason());
    }
  }
  if (!over_ && moved_ && !worker_) {
    if (!saving_) return save();
    over_ = true;
    qemu_.reset();
  }
  if (over_) return;
  const auto ending = qemu_->finish();
  if (!ending) return;
  // What a write to a mapped file does that has nowhere to go.
  const bool no_room = ending->status == describe_status(SIGBUS);
  fail(fmt::format("QEMU {}{}{}", ending->status,
                   ending->message.empty() ? "" : ": " + ending->message,
                   no_room ? "; make room there or choose another place" : ""));
}

void SecondSave::cancel() {
  if (!over_) fail("it was stopped");
}

void SecondSave::fail(const std::string& error) {
  if (over_) return;
  over_ = true;
  error_ = error;
  if (worker_) worker_->cancel();
  // The worker sees the end of the pipe.
  qemu_->kill();
}

}  // namespace vmette::vmm
