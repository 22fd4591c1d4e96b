#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "vmm/qemu/confinement.h"
#include "vmm/qemu/disk_check.h"
#include "vmm/qemu/identity.h"
#include "vmm/qemu/kernel_check.h"
#include "vmm/qemu/kernel_cmdline.h"
#include "vmm/qemu/program.h"
#include "vmm/qemu/supervisor.h"

namespace vmette::vmm {

using json = nlohmann::json;

void Supervisor::create(const Request& request) {
  if (state_ != State::kNone) throw bad_request("create: this helper has had its machine");
  const std::string version = text_field(request.body, "version");
  if (!version.empty() && version != VMETTE_VERSION)
    throw Failure("version_mismatch",
                  fmt::format("version: the library is {}, the helper {}; install one matched set",
                              version, VMETTE_VERSION));
  machine_ = {};
  if (auto problem = from_json(request.body, machine_)) throw bad_request(*problem);
  const Machine& machine = machine_;
  parent_ = watch_parent(machine.parent_pid);
  if (parent_.gone) {
    done_ = true;
    return;
  }
  check_kernel(machine.kernel, machine.arch);
  if (!machine.initramfs.empty()) check_initramfs(machine.initramfs);
  if (machine.can_be_saved())
    if (auto reason = why_not_snapshottable(machine)) throw Failure("not_snapshottable", *reason);
  source_ = machine.restore.empty() ? SnapshotSource() : open_snapshot(machine);
  plan_.program = find_qemu(machine.qemu, machine.arch);
  plan_.accel = choose_accel(machine.accel, machine.arch);
  disk_claims_.clear();
  disk_claims_ = claim_disks(machine.disks);
  attached_ = {};
  prepare_disks();
}

void Supervisor::prepare_disks() {
  // mke2fs first: no process is started while a thread copies.
  if (machine_.scratch && machine_.scratch->image.empty()) scratch_.emplace(*machine_.scratch);
  try {
    if (DiskCopies::needed(machine_)) copies_.emplace(machine_);
  } catch (const Failure&) {
    scratch_.reset();
    throw;
  } catch (const std::system_error& error) {
    scratch_.reset();
    throw Failure("hypervisor", fmt::format("disks cannot be copied: {}", error.what()));
  }
  if (!copies_ && !scratch_) return start_hypervisor();
  state_ = State::kPreparing;
  if (std::ranges::any_of(requests_, is_forced_stop)) kill_preparations();
}

void Supervisor::kill_preparations() {
  if (scratch_) scratch_->kill();
  if (copies_) copies_->cancel();
}

// Goes on with `create` once mke2fs has ended and all is copied.
void Supervisor::check_preparations() {
  if (state_ != State::kPreparing) return;
  try {
    if (copies_ && copies_->finish(attached_)) copies_.reset();
    if (scratch_) {
      if (auto file = scratch_->finish()) {
        attached_.scratch = std::move(*file);
        scratch_.reset();
      }
    }
    if (copies_ || scratch_) return;
    state_ = State::kNone;
    start_hypervisor();
  } catch (const Failure& failure) {
    scratch_.reset();
    copies_.reset();
    const bool stopped = std::ranges::any_of(requests_, is_forced_stop);
    state_ = stopped ? State::kEnded : State::kNone;
    refuse(stopped ? Failure("hypervisor", "the machine was stopped before QEMU was started")
                   : failure);
  }
}

void Supervisor::start_hypervisor() {
  const Machine& machine = machine_;
  const bool restored = !machine.restore.empty();
  // The counter is measured over some milliseconds, in which mke2fs has done its work.
  tsc_khz_.reset();
  if (!restored && plan_.accel.accel == Accel::kTcg && machine.arch == Arch::kX86_64)
    tsc_khz_ = host_tick_khz(start_);
  plan_.cmdline = restored
                      ? machine.cmdline
                      : kernel_cmdline(machine.cmdline, machine.arch, plan_.accel.accel, tsc_khz_);
  start_file_servers();
  if (restored)
    attached_.ram = std::move(source_.ram);
  else if (machine.snapshottable)
    attached_.ram = make_ram(machine.memory_mib);
  const auto reserved = [](const Share& share) { return share.path.empty(); };
  if (std::ranges::any_of(machine.shares, reserved))
    attached_.empty_directory = make_empty_directory();
  save_sources_ = machine.can_be_saved() ? save_sources(machine, attached_) : SaveSources();
  Beginning beginning;
  beginning.private_ram = beginning.incoming = restored;
  hypervisor_.emplace(machine, plan_.program, plan_.accel.accel, plan_.cmdline, attached_,
                      beginning);
  attached_ = {};
  state_ = State::kCreating;
  // A forced stop that came before there was anything to kill.
  if (std::ranges::any_of(requests_, is_forced_stop)) hypervisor_->kill();
  hypervisor_->qmp().execute("qmp_capabilities", [this](const std::string& error, const json&) {
    if (error.empty()) return created();
    hypervisor_->kill();
    refuse(Failure("hypervisor", error));
  });
}

// For the shares that go over virtio-fs, which a machine that can be saved has none of.
void Supervisor::start_file_servers() {
  if (!machine_.shares.empty())
    if (const int error = forbid_special_files(); error != 0)
      throw Failure("hypervisor",
                    fmt::format("shares: the system calls that make setuid files and device nodes "
                                "cannot be forbidden (seccomp): {}",
                                std::generic_category().message(error)));
  std::vector<Share> shares = machine_.shares;
  if (machine_.can_be_saved())
    for (Share& share : shares) share.transport = ShareTransport::k9p;
  file_servers_.emplace(shares);
  attached_.share_sockets = file_servers_->take_sockets();
}

void Supervisor::created() {
  state_ = State::kCreated;
  // Long enough after `start_` not to wait.
  if (machine_.arch == Arch::kX86_64 && host_arch() == Arch::kX86_64 && !tsc_khz_)
    tsc_khz_ = host_tick_khz(start_);
  std::vector<UniqueFd> fds;
  fds.push_back(hypervisor_->take_control());
  send({{"event", "channel"}}, std::move(fds));
  answer({{"cmdline", plan_.cmdline},
          {"accel", name_of(plan_.accel.accel)},
          {"accel_reason", plan_.accel.reason},
          {"shares", share_list()},
          {"pid", hypervisor_->pid()},
          {"identity",
           identity_of(machine_, hypervisor_->qmp().version(), plan_.accel.accel, tsc_khz_)}});
}

json Supervisor::share_list() const {
  json list = json::array();
  for (size_t i = 0; i < machine_.shares.size(); ++i) {
    const ShareChoice& choice = file_servers_->choices()[i];
    const bool chosen = machine_.shares[i].transport == ShareTransport::kAuto;
    list.push_back(
        {{"tag", machine_.shares[i].tag},
         {"transport", name_of(choice.transport)},
         {"reason", chosen && machine_.can_be_saved() ? "a machine with virtio-fs cannot be saved"
                                                      : choice.reason}});
  }
  return list;
}

}  // namespace vmette::vmm
