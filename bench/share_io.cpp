#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include "child_process.h"
#include "rootfs_parts.h"
#include "vmm/qemu/command_line.h"
#include "vmm/qemu/failure.h"
#include "vmm/qemu/virtiofsd.h"

namespace vmette::bench {
namespace {

constexpr int kRounds = 3;
constexpr double kLargeMb = 512.0 * 1024 * 1024 / 1e6;
constexpr int kDeviceFd = kFirstChildFd + 2;

// What share_io prints: seconds by step, and the mount.
struct Times {
  std::map<std::string, double> steps;
  std::string mount;

  [[nodiscard]] double of(const std::string& step) const { return steps.at(step); }
  [[nodiscard]] double metadata() const {
    return of("create") + of("stat") + of("read-small") + of("delete");
  }
};

Times parse(const std::string& output) {
  Times times;
  std::istringstream lines(output);
  std::string line;
  while (std::getline(lines, line)) {
    if (line == "done") return times;
    const size_t space = line.find(' ');
    if (space == std::string::npos || line.starts_with("failed")) break;
    if (line.starts_with("mount "))
      times.mount = line.substr(space + 1);
    else
      times.steps[line.substr(0, space)] = std::strtod(line.c_str() + space, nullptr);
  }
  die("share_io printed " + output);
}

// A listening socket and the connection that waits in it.
struct Sockets {
  UniqueFd listener{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  UniqueFd client{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};

  Sockets() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address.sun_family;  // the kernel chooses a name that is no file's
    if (bind(listener.get(), plain, length) != 0 || listen(listener.get(), 1) != 0) die("listen");
    length = sizeof address;
    if (getsockname(listener.get(), plain, &length) != 0 ||
        connect(client.get(), plain, length) != 0)
      die("connect");
  }
};

// A raw QEMU with the share, with the options of vmette's own code for QEMU and virtiofsd.
class RawShare {
 public:
  RawShare(const Lab& lab, const std::string& cmdline, const std::string& directory,
           const std::optional<vmm::Virtiofsd>& virtiofsd) {
    vmm::Machine machine;
    machine.shares.push_back({"io", directory, false, {}, false});
    RawGuest guest{lab.kernel, lab.raw_initramfs, cmdline};
    Sockets sockets;
    if (virtiofsd) {
      server_.emplace(
          vmm::virtiofsd_argv(*virtiofsd, machine.shares[0], {directory, false}, kFirstChildFd),
          std::vector<int>{sockets.listener.get()});
      guest.cmdline += " bench_type=virtiofs";
      guest.shared_ram = true;
      guest.device_fd = sockets.client.get();
    } else {
      guest.cmdline +=
          " bench_type=9p bench_options=trans=virtio,version=9p2000.L,msize=512000,cache=mmap";
    }
    const auto argv = vmm::qemu_argv(machine, "qemu", vmm::Accel::kTcg, "",
                                     {.shares = {virtiofsd ? kDeviceFd : -1}});
    // The share is the last device: -chardev or -fsdev with its value, then -device with its own.
    guest.devices.assign(argv.end() - 4, argv.end());
    machine_.emplace(guest);
    machine_->read_through("ready\n");
  }

  Times run() {
    machine_->send("r");
    return parse(machine_->read_through("done\n"));
  }

 private:
  std::optional<RawMachine> machine_;
  std::optional<ChildProcess> server_;  // ends first: it complains when its machine does
};

Times on_host(const Lab& lab) {
  std::FILE* pipe =
      popen(fmt::format("'{}' '{}'", lab.share_io, (lab.directory / "share/host").string()).c_str(),
            "re");
  if (pipe == nullptr) die("cannot run share_io");
  std::string output;
  char chunk[4096];
  while (std::fgets(chunk, sizeof chunk, pipe) != nullptr) output += chunk;
  pclose(pipe);
  return parse(output);
}

// Figures of all rounds.
struct Rounds {
  std::vector<Times> host;
  std::vector<Times> raw;
  std::vector<Times> ours;
};

template <class Measure>
double median_of(const std::vector<Times>& rounds, Measure measure) {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const Times& times : rounds) values.push_back(measure(times));
  return median(values);
}

// Speed of vmette over that of the raw guest, of the rounds.
template <class Measure>
double ratio_of(const Rounds& rounds, Measure measure) {
  std::vector<double> values;
  for (size_t i = 0; i < rounds.raw.size(); ++i)
    values.push_back(measure(rounds.raw[i]) / measure(rounds.ours[i]));
  return median(values);
}

void print(const char* side, const std::vector<Times>& rounds) {
  const auto seconds = [&](const char* step) {
    return median_of(rounds, [&](const Times& times) { return times.of(step); });
  };
  fmt::print(
      "  {:<7} write {:5.0f} MB/s, with fsync {:5.0f}; read {:5.0f} MB/s; 5,000 files {:6.2f} s: "
      "create {:.2f}, stat {:.2f}, read {:.2f}, delete {:.2f}\n",
      side, kLargeMb / seconds("write"), kLargeMb / seconds("write+fsync"),
      kLargeMb / seconds("read"),
      median_of(rounds, [](const Times& times) { return times.metadata(); }), seconds("create"),
      seconds("stat"), seconds("read-small"), seconds("delete"));
}

// One side's turn.
template <class Work>
void take(std::vector<Times>& rounds, const char* side, Work work) {
  // What was written before is not to be written back meanwhile.
  sync();
  rounds.push_back(work());
  print(side, {rounds.back()});
}

void measure(const Lab& lab, const std::optional<vmm::Virtiofsd>& virtiofsd) {
  const std::string share = lab.directory / "share";
  vmette::Config config = lab_config(lab);
  config.add_share("io", share, false);
  config.set_share_transport(virtiofsd ? vmette::ShareTransport::kVirtiofs
                                       : vmette::ShareTransport::k9p);
  auto session = need(vmette::Session::create(config));
  need(session.start());
  RawShare raw(lab, std::string(session.cmdline()), share, virtiofsd);
  const auto run_ours = [&] {
    return parse(output_of(session, {"/mnt/io/share_io", "/mnt/io/vmette", "drop"}));
  };
  // The first time, a machine's memory is not there yet.
  raw.run();
  run_ours();
  Rounds rounds;
  for (int i = 0; i < kRounds; ++i) {
    take(rounds.host, "host", [&] { return on_host(lab); });
    take(rounds.raw, "raw", [&] { return raw.run(); });
    take(rounds.ours, "vmette", run_ours);
  }
  need(session.kill());
  fmt::print("medians of {}, mounted as {}\n", virtiofsd ? "virtio-fs" : "9p",
             rounds.ours[0].mount);
  if (rounds.ours[0].mount != rounds.raw[0].mount)
    die("the raw guest has it mounted as " + rounds.raw[0].mount);
  print("host", rounds.host);
  print("raw", rounds.raw);
  print("vmette", rounds.ours);
  verdict("write and fsync, vmette / raw",
          ratio_of(rounds, [](const Times& times) { return times.of("write+fsync"); }), ">=", 0.9);
  verdict("read, vmette / raw",
          ratio_of(rounds, [](const Times& times) { return times.of("read"); }), ">=", 0.9);
  verdict("files, vmette / raw",
          ratio_of(rounds, [](const Times& times) { return times.metadata(); }), ">=", 0.9);
}

// Nothing, with a line that says why, where there is no virtiofsd that can run.
std::optional<vmm::Virtiofsd> virtiofsd_here() {
  std::string program;
  try {
    program = vmm::find_virtiofsd();
  } catch (const vmm::Failure& failure) {
    fmt::print("virtio-fs: left out: {}\n", failure.what());
    return std::nullopt;
  }
  std::FILE* pipe = popen(fmt::format("'{}' --version", program).c_str(), "re");
  std::string version;
  char chunk[4096];
  while (pipe != nullptr && std::fgets(chunk, sizeof chunk, pipe) != nullptr) version += chunk;
  if (pipe != nullptr) pclose(pipe);
  auto found = vmm::parse_virtiofsd(program, version);
  if (!found || (found->needs_root && geteuid() != 0)) {
    fmt::print("virtio-fs: left out: {} cannot run here\n", program);
    return std::nullopt;
  }
  return found;
}

}  // namespace

void bench_shares(const Lab& lab) {
  for (const char* name : {"share/host", "share/raw", "share/vmette"})
    std::filesystem::create_directories(lab.directory / name);
  std::filesystem::copy_file(lab.share_io, lab.directory / "share/share_io");
  fmt::print("shares: {} rounds, medians; 512 MiB in blocks of 128 KiB, 5,000 files of 1 KiB\n",
             kRounds);
  if (const auto virtiofsd = virtiofsd_here()) measure(lab, virtiofsd);
  measure(lab, std::nullopt);
}

}  // namespace vmette::bench
