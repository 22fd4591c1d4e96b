// bench/exec: what a command, a stream and a file cost in a live session, beside a minimal C
// program that does the same in the same kernel through a raw virtio-serial port. Both sides take
// turns, commands a few at a time, because a machine that is shared with others has fast and slow
// moments; the ratios are medians over the rounds.
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vmette.hpp>

#include "need.h"
#include "raw_machine.h"
#include "supervised.h"

namespace {

using namespace vmette::bench;
using vmette::Exec;
using vmette::Stdio;
using vmette::Stream;

constexpr int kRounds = 5;
constexpr int kRuns = 100;
constexpr int kInTurn = 10;  // of one side, before the other has its turn
constexpr uint64_t kStreamBytes = uint64_t{256} << 20;
constexpr uint64_t kThroughBytes = uint64_t{1} << 30;
constexpr int kSideBySide = 8;
constexpr int kMemMib = 1024;  // a file of the guest lies in its memory

struct Floor {
  double round_trip_ms = 0;
  double fork_exec_ms = 0;
  double relay_mb_s = 0;
  double write_mb_s = 0;
  double read_mb_s = 0;
};

struct Figures {
  double exec_ms = 0;
  double stdout_mb_s = 0;
  double fairness = 0;
  double write_mb_s = 0;
  double read_mb_s = 0;
};

// While one lives, what this thread starts runs on the last of its CPUs. Both machines have to: two
// CPUs of a shared host can differ by a factor of two for hours.
class OnLastCpu {
 public:
  OnLastCpu() {
    if (sched_getaffinity(0, sizeof before_, &before_) != 0) die("no CPU mask");
    cpu_set_t one;
    CPU_ZERO(&one);
    int last = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &before_)) last = cpu;
    CPU_SET(last, &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) die("cannot choose a CPU");
  }
  ~OnLastCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OnLastCpu(const OnLastCpu&) = delete;
  OnLastCpu& operator=(const OnLastCpu&) = delete;

 private:
  cpu_set_t before_;
};

double mb_s(uint64_t bytes, Clock::time_point start) {
  return static_cast<double>(bytes) / 1e6 / seconds_since(start);
}

void round_trips(RawMachine& machine, int runs, std::vector<double>& times_ms) {
  machine.request('e', static_cast<uint64_t>(runs));
  for (int i = 0; i < runs; ++i) {
    const auto start = Clock::now();
    machine.send("0123456789abcdef");
    machine.receive(16);
    times_ms.push_back(seconds_since(start) * 1e3);
  }
}

void fork_execs(RawMachine& machine, int runs, std::vector<double>& times_ms) {
  machine.request('f', static_cast<uint64_t>(runs));
  for (int i = 0; i < runs; ++i)
    times_ms.push_back(std::strtod(machine.receive(16).c_str(), nullptr) / 1e3);
}

void execs(vmette::Session& session, int runs, std::vector<double>& times_ms) {
  for (int i = 0; i < runs; ++i) {
    Exec exec(std::vector<std::string>{"/bin/true"});
    exec.set_stdout(Stdio::kNull).set_stderr(Stdio::kNull);
    const auto start = Clock::now();
    auto process = need(session.exec(exec));
    need(process.wait());
    times_ms.push_back(seconds_since(start) * 1e3);
  }
}

void measure_exec(RawMachine& machine, vmette::Session& session, Floor& floor, Figures& figures) {
  std::vector<double> trips;
  std::vector<double> forks;
  std::vector<double> commands;
  for (int done = 0; done < kRuns; done += kInTurn) {
    round_trips(machine, kInTurn, trips);
    fork_execs(machine, kInTurn, forks);
    execs(session, kInTurn, commands);
  }
  floor.round_trip_ms = median(trips);
  floor.fork_exec_ms = median(forks);
  figures.exec_ms = median(commands);
}

void measure_floor(RawMachine& machine, Floor& floor) {
  auto start = Clock::now();
  machine.request('o', kStreamBytes);
  machine.drain(kStreamBytes);
  floor.relay_mb_s = mb_s(kStreamBytes, start);
  start = Clock::now();
  machine.request('w', kStreamBytes);
  const std::string block(256 * 1024, 'x');
  for (uint64_t sent = 0; sent < kStreamBytes; sent += block.size()) machine.send(block);
  machine.receive(1);
  floor.write_mb_s = mb_s(kStreamBytes, start);
  start = Clock::now();
  machine.request('r', kStreamBytes);
  machine.drain(kStreamBytes);
  floor.read_mb_s = mb_s(kStreamBytes, start);
}

vmette::Process start_writer(vmette::Session& session, uint64_t bytes) {
  Exec exec(std::vector<std::string>{"dd", "if=/dev/zero", "bs=65536",
                                     fmt::format("count={}", bytes / 65536), "status=none"});
  exec.set_stdout(Stdio::kPipe).set_stderr(Stdio::kNull);
  return need(session.exec(exec));
}

uint64_t read_to_end(int fd) {
  std::vector<char> chunk(256 * 1024);
  uint64_t total = 0;
  for (;;) {
    const ssize_t got = read(fd, chunk.data(), chunk.size());
    if (got <= 0) return total;
    total += static_cast<uint64_t>(got);
  }
}

double stdout_mb_s(vmette::Session& session) {
  auto process = start_writer(session, kStreamBytes);
  need(process.wait_started());
  const auto start = Clock::now();
  if (read_to_end(process.fd(Stream::kStdout)) != kStreamBytes) die("bytes are missing");
  return mb_s(kStreamBytes, start);
}

// The slowest of several streams over their mean.
double fairness(vmette::Session& session) {
  std::vector<vmette::Process> processes;
  for (int i = 0; i < kSideBySide; ++i)
    processes.push_back(start_writer(session, kStreamBytes / kSideBySide));
  std::vector<double> speeds(kSideBySide);
  std::vector<std::thread> readers;
  const auto start = Clock::now();
  for (int i = 0; i < kSideBySide; ++i)
    readers.emplace_back([&, i] {
      const uint64_t bytes = read_to_end(processes[i].fd(Stream::kStdout));
      speeds[i] = mb_s(bytes, start);
    });
  for (std::thread& reader : readers) reader.join();
  double sum = 0;
  for (const double speed : speeds) sum += speed;
  return *std::min_element(speeds.begin(), speeds.end()) / (sum / kSideBySide);
}

double write_mb_s(vmette::Session& session) {
  const std::vector<char> chunk(256 * 1024, 'x');
  const auto start = Clock::now();
  auto transfer = need(session.open_write("/bench-file"));
  for (uint64_t sent = 0; sent < kStreamBytes; sent += chunk.size())
    for (size_t done = 0; done < chunk.size();) {
      const ssize_t put = write(transfer.fd(), chunk.data() + done, chunk.size() - done);
      if (put <= 0) die("the file is not written");
      done += static_cast<size_t>(put);
    }
  transfer.close_fd();
  need(transfer.wait());
  return mb_s(kStreamBytes, start);
}

double read_mb_s(vmette::Session& session) {
  const auto start = Clock::now();
  const auto transfer = need(session.open_read("/bench-file"));
  if (read_to_end(transfer.fd()) != kStreamBytes) die("bytes are missing");
  need(transfer.wait());
  const double speed = mb_s(kStreamBytes, start);
  need(session.remove("/bench-file"));
  return speed;
}

void measure(vmette::Session& session, Figures& figures) {
  figures.stdout_mb_s = stdout_mb_s(session);
  figures.fairness = fairness(session);
  figures.write_mb_s = write_mb_s(session);
  figures.read_mb_s = read_mb_s(session);
}

// There and back through cat, every byte compared; MB/s of one direction.
double through_cat(vmette::Session& session) {
  Exec exec(std::vector<std::string>{"cat"});
  exec.set_stdin(Stdio::kPipe).set_stdout(Stdio::kPipe);
  auto process = need(session.exec(exec));
  const auto byte_at = [](uint64_t at) { return static_cast<char>(at * 2654435761U >> 13); };
  const auto start = Clock::now();
  std::thread writer([&] {
    std::vector<char> chunk(256 * 1024);
    for (uint64_t at = 0; at < kThroughBytes;) {
      for (size_t i = 0; i < chunk.size(); ++i) chunk[i] = byte_at(at + i);
      for (size_t done = 0; done < chunk.size();) {
        const ssize_t put =
            write(process.fd(Stream::kStdin), chunk.data() + done, chunk.size() - done);
        if (put <= 0) die("cat reads no more");
        done += static_cast<size_t>(put);
      }
      at += chunk.size();
    }
    process.close_fd(Stream::kStdin);
  });
  std::vector<char> chunk(256 * 1024);
  uint64_t total = 0;
  for (;;) {
    const ssize_t got = read(process.fd(Stream::kStdout), chunk.data(), chunk.size());
    if (got <= 0) break;
    for (ssize_t i = 0; i < got; ++i)
      if (chunk[static_cast<size_t>(i)] != byte_at(total + static_cast<uint64_t>(i)))
        die("a byte came back changed");
    total += static_cast<uint64_t>(got);
  }
  writer.join();
  if (total != kThroughBytes) die("bytes are missing");
  return mb_s(kThroughBytes, start);
}

long peak_rss_kib() {
  const std::string status = read_file("/proc/self/status");
  const size_t at = status.find("VmHWM:");
  return at == std::string::npos ? 0 : std::atol(status.c_str() + at + 6);
}

void run(const std::string& assets, const std::string& init,
         const std::filesystem::path& directory) {
  vmette::Config config;
  config.set_kernel(assets + "/vmlinux").set_initramfs(assets + "/initramfs.cpio");
  config.set_accel(vmette::Accel::kEmulation).set_mem_mib(kMemMib);
  auto session = need(vmette::Session::create(config));
  {
    const OnLastCpu pinned;
    need(session.start());
  }

  RawGuest guest;
  guest.mem_mib = kMemMib;
  guest.kernel = assets + "/vmlinux";
  guest.initramfs = directory / "initramfs.cpio";
  guest.cmdline = std::string(session.cmdline()) + " bench=exec";
  write_file(guest.initramfs, read_file(assets + "/initramfs.cpio") + init_archive(init));

  fmt::print("bench/exec: {} rounds, medians of {} runs in each; streams and files of {} MiB\n",
             kRounds, kRuns, kStreamBytes >> 20);
  std::vector<double> exec;
  std::vector<double> streamed;
  std::vector<double> fair;
  std::vector<double> written;
  std::vector<double> read;
  for (int round = 0; round < kRounds; ++round) {
    // The idle machine of the other side costs nothing meanwhile.
    auto machine = [&] {
      const OnLastCpu pinned;
      return RawMachine(guest);
    }();
    machine.wait_ready();
    Floor floor;
    Figures figures;
    measure_exec(machine, session, floor, figures);
    measure_floor(machine, floor);
    measure(session, figures);
    fmt::print(
        "  raw: port round trip {:.3f} ms, fork+exec {:.3f} ms, pipe to port {:.0f} MB/s, "
        "port to file {:.0f} MB/s, file to port {:.0f} MB/s\n",
        floor.round_trip_ms, floor.fork_exec_ms, floor.relay_mb_s, floor.write_mb_s,
        floor.read_mb_s);
    fmt::print(
        "  vmette: exec {:.3f} ms, stdout {:.0f} MB/s, file write {:.0f} MB/s, file read {:.0f} "
        "MB/s\n",
        figures.exec_ms, figures.stdout_mb_s, figures.write_mb_s, figures.read_mb_s);
    exec.push_back(figures.exec_ms / (floor.fork_exec_ms + floor.round_trip_ms));
    streamed.push_back(figures.stdout_mb_s / floor.relay_mb_s);
    fair.push_back(figures.fairness);
    written.push_back(figures.write_mb_s / floor.write_mb_s);
    read.push_back(figures.read_mb_s / floor.read_mb_s);
  }
  verdict("exec / (fork+exec + round trip)", median(exec), "<=", 1.5);
  verdict("stdout / relay", median(streamed), ">=", 0.8);
  verdict("slowest of 8 streams / their mean", median(fair), ">=", 0.5);
  verdict("file write / port to file", median(written), ">=", 0.7);
  verdict("file read / file to port", median(read), ">=", 0.7);
  const double through = through_cat(session);
  fmt::print(
      "  1 GiB through stdin and cat: {:.0f} MB/s, unchanged; peak RSS of this program {} KiB\n",
      through, peak_rss_kib());
  need(session.kill());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) die("usage: exec ASSETS BENCH_INIT");
  return supervised(
      std::filesystem::temp_directory_path(),
      [&](const std::filesystem::path& directory) { run(argv[1], argv[2], directory); });
}
