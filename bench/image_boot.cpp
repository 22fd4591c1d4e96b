#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "child_process.h"
#include "rootfs_parts.h"
#include "vmm/qemu/command_line.h"

namespace vmette::bench {
namespace {

constexpr int kRounds = 6;
constexpr uint64_t kScratchMib = 8192;

// The image, built when it is not there yet; nothing, with a line that says why, when it cannot be.
std::optional<std::string> debian_image(const Lab& lab) {
  const std::filesystem::path image = lab.build_folder / "debian.squashfs";
  if (std::filesystem::exists(image)) return image;
  const std::filesystem::path folder = lab.directory / "image";
  std::filesystem::create_directory(folder);
  const int code =
      ChildProcess({"python3", lab.debian_image, image.string(), folder.string()}, {}).wait();
  std::filesystem::remove_all(folder);
  if (code == 0) return image;
  fmt::print(
      "boots from an image: left out: it is packed from packages of a Debian host with python3, by "
      "python3, dpkg-query, tar and mksquashfs (squashfs-tools)\n");
  return std::nullopt;
}

// Of the entries of a directory in /proc, which come and go.
template <class Visit>
void visit(const std::filesystem::path& directory, Visit work) {
  std::error_code error;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator at(directory, error); !error && at != end;
       at.increment(error))
    work(at->path());
}

// What the scratch disk of the machine occupies on the host: the largest unnamed file of its size
// that any process has open.
double scratch_mib_on_host() {
  double most = 0;
  visit("/proc", [&](const std::filesystem::path& process) {
    visit(process / "fd", [&](const std::filesystem::path& entry) {
      struct stat info{};
      if (stat(entry.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 0 &&
          static_cast<uint64_t>(info.st_size) == kScratchMib << 20)
        most = std::max(most, static_cast<double>(info.st_blocks) * 512 / (1 << 20));
    });
  });
  return most;
}

struct Boot {
  double seconds = 0;
  double scratch_mib = 0;
  std::string cmdline;
};

Boot vmette_boot(const Lab& lab, const std::string& image, uint64_t scratch_mib) {
  const auto start = Clock::now();
  vmette::Config config = lab_config(lab);
  config.set_rootfs("squashfs+file://" + image);
  if (scratch_mib != 0) config.set_scratch_mib(scratch_mib);
  auto session = need(vmette::Session::create(config));
  need(session.start());
  vmette::Exec exec(std::vector<std::string>{"python3", "-c", "print(1)"});
  exec.set_stdout(vmette::Stdio::kPipe);
  auto process = need(session.exec(exec));
  char byte = 0;
  if (read(process.fd(Stream::kStdout), &byte, 1) != 1) die("Python printed nothing");
  Boot boot;
  boot.seconds = seconds_since(start);
  boot.cmdline = session.cmdline();
  if (scratch_mib != 0) boot.scratch_mib = scratch_mib_on_host();
  need(session.kill());
  return boot;
}

double raw_boot(const RawGuest& guest) {
  const auto start = Clock::now();
  RawMachine machine(guest);
  machine.wait_console("1\r\n");
  return seconds_since(start);
}

RawGuest raw_guest(const Lab& lab, const std::string& image, const std::string& cmdline) {
  vmm::Machine machine;
  machine.disks.push_back({image, "root", true});
  RawGuest guest{lab.kernel, lab.raw_initramfs, cmdline + " bench_type=squashfs"};
  const auto argv = vmm::qemu_argv(machine, "qemu", vmm::Accel::kTcg, "");
  // The disk comes last: -blockdev with its value, then -device with its own.
  guest.devices.assign(argv.end() - 4, argv.end());
  return guest;
}

}  // namespace

void bench_image_boots(const Lab& lab) {
  const auto image = debian_image(lab);
  if (!image) return;
  fmt::print(
      "squashfs image of {:.0f} MiB, {} rounds with two boots of each, seconds until Python "
      "prints\n",
      static_cast<double>(std::filesystem::file_size(*image)) / (1 << 20), kRounds);
  const RawGuest guest = raw_guest(lab, *image, vmette_boot(lab, *image, 0).cmdline);
  std::vector<double> ours;
  std::vector<double> raw;
  std::vector<double> scratched;
  std::vector<double> more;
  double mib = 0;
  for (int i = 0; i < kRounds; ++i) {
    // There and back: on some hosts each second boot is slower than the one before.
    const double raw_first = raw_boot(guest);
    const double ours_first = vmette_boot(lab, *image, 0).seconds;
    const Boot first = vmette_boot(lab, *image, kScratchMib);
    const Boot second = vmette_boot(lab, *image, kScratchMib);
    ours.push_back((ours_first + vmette_boot(lab, *image, 0).seconds) / 2);
    raw.push_back((raw_first + raw_boot(guest)) / 2);
    scratched.push_back((first.seconds + second.seconds) / 2);
    more.push_back((scratched.back() - ours.back()) * 1000);
    mib = std::max({mib, first.scratch_mib, second.scratch_mib});
    fmt::print("  raw {:.3f}   vmette {:.3f}   with a scratch disk {:.3f}\n", raw.back(),
               ours.back(), scratched.back());
  }
  fmt::print("medians: raw {:.3f} s, vmette {:.3f} s, with a scratch disk {:.3f} s\n", median(raw),
             median(ours), median(scratched));
  verdict("vmette / raw", median(ours) / median(raw), "<=", 1.25);
  verdict("scratch disk of 8 GiB, ms more", median(more), "<=", 100);
  if (mib == 0) die("the scratch disk was not found");
  verdict("scratch disk of 8 GiB, MiB of the host's disk", mib, "<=", 8);
}

}  // namespace vmette::bench
