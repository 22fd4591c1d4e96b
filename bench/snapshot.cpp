// bench/snapshot: what saving a machine, resuming it, many clones and a pool cost, beside a cold
// boot and beside a bare QEMU that loads the same files.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>
#include <vmette.hpp>

#include "base/unique_fd.h"
#include "need.h"
#include "raw_machine.h"
#include "raw_resume.h"
#include "supervised.h"

namespace {

using namespace vmette::bench;
namespace fs = std::filesystem;

constexpr int kRounds = 10;
constexpr int kSaves = 5;
constexpr size_t kClones = 50;
constexpr int kTakes = 20;
constexpr uint64_t kTouchedMib = 500;

vmette::Config machine(const std::string& assets, uint64_t mem_mib) {
  vmette::Config config;
  config.set_kernel(assets + "/vmlinux").set_initramfs(assets + "/initramfs.cpio");
  config.set_accel(vmette::Accel::kEmulation).set_mem_mib(mem_mib).set_snapshottable(true);
  return config;
}

void first_byte(vmette::Session& session) {
  vmette::Exec exec(std::vector<std::string>{"echo", "up"});
  exec.set_stdout(vmette::Stdio::kPipe);
  auto process = need(session.exec(exec));
  char byte = 0;
  if (read(process.fd(vmette::Stream::kStdout), &byte, 1) != 1) die("no output");
}

double cold_boot(const std::string& assets) {
  const auto start = Clock::now();
  auto session = need(vmette::Session::create(machine(assets, 256)));
  need(session.start());
  first_byte(session);
  return seconds_since(start);
}

double resume(const vmette::Snapshot& snapshot) {
  const auto start = Clock::now();
  auto session = need(snapshot.resume());
  first_byte(session);
  return seconds_since(start);
}

void measure_saves(vmette::Session& session, const fs::path& directory) {
  std::vector<double> pauses;
  for (int i = 0; i < kSaves; ++i) {
    const auto path = (directory / "idle").string();
    pauses.push_back(static_cast<double>(need(session.snapshot(path)).pause().count()) / 1000);
    need(vmette::Snapshot::remove(path));
  }
  verdict("pause of an idle 256 MiB machine, ms", median(pauses), "<=", 100);
}

void measure_resume(const std::string& assets, const vmette::Snapshot& snapshot) {
  std::vector<double> cold;
  std::vector<double> ours;
  std::vector<double> raw;
  (void)resume(snapshot);  // warms the page cache
  for (int i = 0; i < kRounds; ++i) {
    cold.push_back(cold_boot(assets));
    ours.push_back(resume(snapshot));
    raw.push_back(raw_resume(snapshot));
    fmt::print("  cold {:.3f}   resume {:.3f}   raw resume {:.3f}\n", cold.back(), ours.back(),
               raw.back());
  }
  fmt::print("medians: cold {:.3f} s, resume {:.3f} s, raw {:.3f} s\n", median(cold), median(ours),
             median(raw));
  const auto set = nlohmann::json::parse(read_file(assets + "/manifest.json"));
  verdict("resume / cold boot", median(ours) / median(cold),
          "<=", set.at("flavour") == "tuned" ? 0.3 : 0.25);
  verdict("resume / raw resume", median(ours) / median(raw), "<=", 1.5);
}

// What copying so much memory into a file there takes.
double plain_copy_ms(const fs::path& directory) {
  const size_t bytes = kTouchedMib << 20;
  const vmette::UniqueFd from(memfd_create("bench", MFD_CLOEXEC));
  if (!from || ftruncate(from.get(), static_cast<off_t>(bytes)) != 0) die("no memory file");
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, from.get(), 0);
  if (memory == MAP_FAILED) die("no memory");
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t))
    *reinterpret_cast<uint64_t*>(static_cast<char*>(memory) + at) = at;
  const auto start = Clock::now();
  const std::string path = directory / "copy";
  const vmette::UniqueFd to(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  for (size_t at = 0; at < bytes;) {
    const ssize_t done = write(to.get(), static_cast<char*>(memory) + at, bytes - at);
    if (done <= 0) die("cannot write " + path);
    at += static_cast<size_t>(done);
  }
  const double ms = seconds_since(start) * 1000;
  munmap(memory, bytes);
  fs::remove(path);
  return ms;
}

void measure_large_save(const std::string& assets, const fs::path& directory) {
  auto session = need(vmette::Session::create(machine(assets, 1024)));
  need(session.start());
  const auto filled = need(session.exec(vmette::Exec(
      fmt::format("mount -o remount,size=900m /tmp; dd if=/dev/urandom of=/tmp/fill bs=1M count={}",
                  kTouchedMib))));
  need(filled.wait());
  const auto snapshot = need(session.snapshot((directory / "large").string()));
  const double pause = static_cast<double>(snapshot.pause().count()) / 1000;
  const double copy = plain_copy_ms(directory);
  fmt::print("1 GiB machine, {} MiB touched: pause {:.0f} ms, a plain copy of as much {:.0f} ms\n",
             kTouchedMib, pause, copy);
  verdict("pause / plain copy", pause / copy, "<=", 1.5);
  need(vmette::Snapshot::remove((directory / "large").string()));
}

// Of every QEMU that this program's machines are, which are named after it.
std::vector<double> pss_mib() {
  std::vector<double> sizes;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    std::error_code gone;
    if (std::atoi(name.c_str()) <= 0 || !fs::exists(entry.path() / "smaps_rollup", gone)) continue;
    const std::string words = read_file(entry.path() / "cmdline");
    if (words.find(fmt::format("vmette-{}", getpid())) == std::string::npos) continue;
    const std::string text = read_file(entry.path() / "smaps_rollup");
    const size_t at = text.find("\nPss:");
    sizes.push_back(std::atof(text.c_str() + at + 5) / 1024);
  }
  return sizes;
}

void measure_clones(const vmette::Snapshot& snapshot) {
  std::vector<vmette::Session> clones;
  const auto start = Clock::now();
  for (size_t i = 0; i < kClones; ++i) clones.push_back(need(snapshot.resume()));
  const double seconds = seconds_since(start);
  for (vmette::Session& clone : clones) first_byte(clone);
  const auto sizes = pss_mib();
  if (sizes.size() != kClones) die(fmt::format("{} hypervisors were found", sizes.size()));
  fmt::print("{} clones alive, all answer; {:.1f} resumes per second, one after the other\n",
             kClones, static_cast<double>(kClones) / seconds);
  double most = 0;
  for (const double size : sizes) most = std::max(most, size);
  verdict("largest PSS of a clone, MiB", most, "<=", 48);
  fmt::print("  median PSS {:.1f} MiB\n", median(sizes));
}

void measure_pool(const vmette::Snapshot& snapshot) {
  vmette::Config config;
  config.set_resume_snapshot(snapshot.path().data());
  vmette::PoolOptions options;
  options.set_ready(2);
  auto pool = need(vmette::Pool::create(config, options));
  std::vector<double> times;
  for (int i = 0; i < kTakes; ++i) {
    while (need(pool.count()).ready() < 2) usleep(5000);
    const auto start = Clock::now();
    auto session = need(pool.take());
    times.push_back(seconds_since(start) * 1000);
    first_byte(session);
  }
  verdict("hand-out of a ready machine, ms", median(times), "<=", 1);
}

void run(const std::string& assets, const fs::path& directory) {
  fmt::print("bench/snapshot: 256 MiB, built-in root, {} rounds in turn, seconds\n", kRounds);
  auto session = need(vmette::Session::create(machine(assets, 256)));
  need(session.start());
  first_byte(session);
  measure_saves(session, directory);
  const auto snapshot = need(session.snapshot((directory / "warm").string()));
  need(session.kill());
  measure_resume(assets, snapshot);
  measure_clones(snapshot);
  measure_pool(snapshot);
  measure_large_save(assets, directory);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) die("usage: snapshot ASSETS");
  return supervised(std::filesystem::temp_directory_path(),
                    [&](const fs::path& directory) { run(argv[1], directory); });
}
