#include "raw_resume.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "child_process.h"
#include "raw_machine.h"
#include "vmm/line_channel.h"
#include "vmm/qemu/command_line.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette::bench {
namespace {

using nlohmann::json;

constexpr int kDeadlineMs = 60'000;
constexpr int kRamFd = vmm::kConsoleFd + 1;

struct Pair {
  UniqueFd ours;
  UniqueFd theirs;
};

Pair connected() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) die("no socket");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void await(int fd, const char* what) {
  pollfd item{fd, POLLIN, 0};
  if (poll(&item, 1, kDeadlineMs) != 1) die(fmt::format("nothing came from {}", what));
}

class Qmp {
 public:
  explicit Qmp(UniqueFd socket) : channel_(std::move(socket)) { (void)next(); }

  json execute(const char* command, json arguments = json::object(),
               std::vector<UniqueFd> fds = {}) {
    const json request = {{"execute", command}, {"arguments", std::move(arguments)}};
    if (!channel_.send(request.dump(), std::move(fds))) die("QEMU has ended");
    for (;;) {
      json answer = next();
      if (answer.contains("error")) die(answer["error"].dump());
      if (answer.contains("return")) return answer["return"];
    }
  }

 private:
  json next() {
    std::string line;
    for (;;) {
      const auto status = channel_.receive(line);
      if (status == vmm::LineChannel::Status::kLine) return json::parse(line);
      if (status != vmm::LineChannel::Status::kMore) die("QEMU has ended");
      await(channel_.fd(), "QEMU");
    }
  }

  vmm::LineChannel channel_;
};

std::vector<std::string> argv_of(const vmette::Snapshot& snapshot) {
  const json manifest = json::parse(snapshot.manifest());
  vmm::Machine machine;
  machine.kernel = manifest.at("kernel").at("path").get<std::string>();
  machine.initramfs = manifest.at("initramfs").at("path").get<std::string>();
  machine.vcpus = snapshot.vcpus();
  machine.memory_mib = static_cast<uint32_t>(snapshot.mem_mib());
  machine.restore = snapshot.path();
  vmm::PassedFds fds;
  fds.ram = kRamFd;
  vmm::Beginning beginning;
  beginning.private_ram = true;
  beginning.incoming = true;
  return vmm::qemu_argv(machine, "qemu-system-x86_64", vmm::Accel::kTcg,
                        manifest.at("cmdline").get<std::string>(), fds, beginning);
}

// The state goes through a pipe, as QEMU wants it.
void load(Qmp& qmp, const std::string& devices) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) die("no pipe");
  std::thread feeder([&devices, to = UniqueFd(ends[1])] {
    for (size_t at = 0; at < devices.size();) {
      const ssize_t done = write(to.get(), devices.data() + at, devices.size() - at);
      if (done <= 0) return;
      at += static_cast<size_t>(done);
    }
  });
  const json capability = {{"capability", "x-ignore-shared"}, {"state", true}};
  qmp.execute("migrate-set-capabilities", {{"capabilities", json::array({capability})}});
  std::vector<UniqueFd> fds;
  fds.emplace_back(ends[0]);
  qmp.execute("getfd", {{"fdname", "state"}}, std::move(fds));
  qmp.execute("migrate-incoming", {{"uri", "fd:state"}});
  while (qmp.execute("query-status").at("status") == "inmigrate") poll(nullptr, 0, 1);
  feeder.join();
  qmp.execute("cont");
}

// Sends both frames at once and waits for the command's first output: one round trip.
void round_trip(int control) {
  wire::Wake wake;
  wake.restored = true;
  wake.nonce = "bench";
  wire::Exec exec;
  exec.argv = {"echo", "up"};
  std::string frames;
  wire::append_frame(frames, wire::Type::kWake, 0, 0, wire::encode(wake));
  wire::append_frame(frames, wire::Type::kExec, 0, 1, wire::encode(exec));
  if (write(control, frames.data(), frames.size()) != static_cast<ssize_t>(frames.size()))
    die("the control stream takes nothing");
  wire::Decoder decoder(wire::Sender::kGuest);
  wire::Frame answer;
  for (;;) {
    const auto status = decoder.next(answer);
    if (status == wire::Decoder::Status::kBroken) die("the guest said something else");
    if (status == wire::Decoder::Status::kFrame) {
      if (answer.type == wire::Type::kError) die("the guest could not do it");
      if (answer.type == wire::Type::kData) return;
      continue;
    }
    await(control, "the guest");
    const auto room = decoder.space();
    const ssize_t got = read(control, room.data(), room.size());
    if (got <= 0) die("the guest has ended");
    decoder.fill(static_cast<size_t>(got));
  }
}

}  // namespace

double raw_resume(const vmette::Snapshot& snapshot) {
  const std::vector<std::string> argv = argv_of(snapshot);
  const std::string directory(snapshot.path());
  const std::string devices = read_file(directory + "/devices");
  const auto start = Clock::now();
  auto [qmp_socket, qmp_far] = connected();
  auto [control, control_far] = connected();
  const UniqueFd console(open("/dev/null", O_WRONLY | O_CLOEXEC));
  const UniqueFd ram(open((directory + "/ram").c_str(), O_RDONLY | O_CLOEXEC));
  const ChildProcess qemu(argv, {qmp_far.get(), control_far.get(), console.get(), ram.get()},
                          vmm::kQmpFd);
  qmp_far.reset();
  control_far.reset();
  Qmp qmp(std::move(qmp_socket));
  qmp.execute("qmp_capabilities");
  load(qmp, devices);
  round_trip(control.get());
  return seconds_since(start);
}

}  // namespace vmette::bench
