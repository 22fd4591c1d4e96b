// bench/boot: from nothing to the first output byte of a command, beside a raw QEMU that boots the
// same kernel with the same command line into a bare init that prints. And what an idle machine
// costs.
#include <dirent.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <vmette.hpp>

#include "need.h"
#include "raw_machine.h"
#include "supervised.h"

namespace {

using namespace vmette::bench;

constexpr int kBoots = 10;
constexpr int kIdleSeconds = 60;

vmette::Session new_session(const std::string& assets) {
  vmette::Config config;
  config.set_kernel(assets + "/vmlinux").set_initramfs(assets + "/initramfs.cpio");
  config.set_accel(vmette::Accel::kEmulation);
  return need(vmette::Session::create(config));
}

double vmette_boot(const std::string& assets, std::string& cmdline) {
  const auto start = Clock::now();
  auto session = new_session(assets);
  need(session.start());
  vmette::Exec exec(std::vector<std::string>{"echo", "up"});
  exec.set_stdout(vmette::Stdio::kPipe);
  auto process = need(session.exec(exec));
  char byte = 0;
  if (read(process.fd(vmette::Stream::kStdout), &byte, 1) != 1) die("no output");
  const double seconds = seconds_since(start);
  cmdline = session.cmdline();
  return seconds;
}

double raw_boot(const RawGuest& guest) {
  const auto start = Clock::now();
  RawMachine machine(guest);
  machine.wait_console("bench-up");
  return seconds_since(start);
}

// The number behind that word in a file of /proc.
long number_after(const std::string& text, const std::string& word) {
  const size_t at = text.find(word);
  return at == std::string::npos ? 0 : std::atol(text.c_str() + at + word.size());
}

// How often the threads of a process went to sleep again; its first one counts for others only.
long sleeps_of(pid_t pid) {
  long count = 0;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid)))
    if (pid != getpid() || task.path().filename() != std::to_string(pid))
      count += number_after(read_file(task.path() / "status"), "\nvoluntary_ctxt_switches:");
  return count;
}

struct ProcessUse {
  double cpu_seconds = 0;
  long sleeps = 0;
  long rss_kib = 0;
};

ProcessUse use_of(pid_t pid) {
  const std::string stat = read_file(fmt::format("/proc/{}/stat", pid));
  unsigned long user = 0;
  unsigned long system = 0;
  std::sscanf(stat.c_str() + stat.rfind(')') + 2,
              "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return {static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)),
          sleeps_of(pid), number_after(read_file(fmt::format("/proc/{}/status", pid)), "VmRSS:")};
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    std::error_code gone;
    if (pid <= 0 || !std::filesystem::exists(entry.path() / "stat", gone)) continue;
    const std::string stat = read_file(entry.path() / "stat");
    if (std::atoi(stat.c_str() + stat.rfind(')') + 4) == parent) children.push_back(pid);
  }
  return children;
}

void measure_idle(const std::string& assets) {
  // The helper is an orphan on purpose; here it becomes a child of this program.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  auto session = new_session(assets);
  need(session.start());
  const auto helpers = children_of(getpid());
  if (helpers.size() != 1) die("the helper was not found");
  const auto hypervisors = children_of(helpers[0]);
  if (hypervisors.size() != 1) die("the hypervisor was not found");
  // What the boot still had to do is over after a moment.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const pid_t pids[] = {getpid(), helpers[0], hypervisors[0]};
  ProcessUse before[3];
  for (int i = 0; i < 3; ++i) before[i] = use_of(pids[i]);
  std::this_thread::sleep_for(std::chrono::seconds(kIdleSeconds));
  double cpu[3];
  ProcessUse after[3];
  for (int i = 0; i < 3; ++i) {
    after[i] = use_of(pids[i]);
    cpu[i] = 100 * (after[i].cpu_seconds - before[i].cpu_seconds) / kIdleSeconds;
  }
  fmt::print("idle for {} s:\n", kIdleSeconds);
  verdict("CPU of this program and the helper, %", cpu[0] + cpu[1], "<=", 0);
  // One: the timer of the boot's deadline, 60 s, is not disarmed when the machine is ready.
  verdict(
      "wake-ups of the library and the helper",
      static_cast<double>(after[0].sleeps - before[0].sleeps + after[1].sleeps - before[1].sleeps),
      "<=", 1);
  verdict("CPU of QEMU, % of a core", cpu[2], "<=", 2);
  fmt::print("  QEMU's threads woke {:.1f} times a second\n",
             static_cast<double>(after[2].sleeps - before[2].sleeps) / kIdleSeconds);
  verdict("RSS of the helper, MiB", static_cast<double>(after[1].rss_kib) / 1024, "<=", 8);
}

void run(const std::string& assets, const std::string& init,
         const std::filesystem::path& directory) {
  RawGuest guest{assets + "/vmlinux", directory / "initramfs.cpio", {}};
  write_file(guest.initramfs, init_archive(init));

  std::vector<double> ours;
  std::vector<double> raw;
  vmette_boot(assets, guest.cmdline);  // warms the page cache
  guest.cmdline += " bench=boot";
  fmt::print("bench/boot: {} boots of each in turn, seconds to the first byte\n", kBoots);
  for (int i = 0; i < kBoots; ++i) {
    std::string unused;
    ours.push_back(vmette_boot(assets, unused));
    raw.push_back(raw_boot(guest));
    fmt::print("  vmette {:.3f}   raw {:.3f}\n", ours.back(), raw.back());
  }
  fmt::print("medians: vmette {:.3f} s, raw {:.3f} s\n", median(ours), median(raw));
  verdict("vmette / raw", median(ours) / median(raw), "<=", 1.25);
  const auto manifest = nlohmann::json::parse(read_file(assets + "/manifest.json"));
  verdict("initramfs, MiB",
          static_cast<double>(std::filesystem::file_size(assets + "/initramfs.cpio")) / 1048576,
          "<=", 10);
  verdict("agent, MiB", manifest.at("agent").at("size").get<double>() / 1048576, "<=", 1.2);
  measure_idle(assets);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) die("usage: boot ASSETS BENCH_INIT");
  return supervised(
      std::filesystem::temp_directory_path(),
      [&](const std::filesystem::path& directory) { run(argv[1], argv[2], directory); });
}
