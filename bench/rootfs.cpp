// bench/rootfs: what roots, shares and disks cost beside a raw QEMU that has the same, in the same
// run. A part may be named: boot or shares.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "rootfs_parts.h"
#include "supervised.h"

namespace vmette::bench {

vmette::Config lab_config(const Lab& lab) {
  vmette::Config config;
  config.set_kernel(lab.kernel).set_initramfs(lab.initramfs);
  config.set_accel(vmette::Accel::kEmulation);
  return config;
}

std::string output_of(vmette::Session& session, const std::vector<std::string>& argv) {
  vmette::Exec exec(argv);
  exec.set_stdout(vmette::Stdio::kPipe);
  auto process = need(session.exec(exec));
  std::string output;
  char chunk[4096];
  for (ssize_t got = 0; (got = read(process.fd(Stream::kStdout), chunk, sizeof chunk)) > 0;)
    output.append(chunk, static_cast<size_t>(got));
  need(process.wait());
  return output;
}

namespace {

// In memory where it fits, so that no disk is measured.
std::filesystem::path work_folder() {
  constexpr uintmax_t kNeeded = uintmax_t{2} << 30;
  std::error_code error;
  const auto space = std::filesystem::space("/dev/shm", error);
  if (!error && space.available >= kNeeded) return "/dev/shm";
  return std::filesystem::temp_directory_path();
}

}  // namespace
}  // namespace vmette::bench

int main(int argc, char** argv) {
  using namespace vmette::bench;
  if (argc < 6) die("usage: rootfs ASSETS ROOTFS_INIT SHARE_IO DEBIAN_IMAGE BUILD_FOLDER [PART]");
  const std::string part = argc > 6 ? argv[6] : "all";
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string assets = argv[1];
  return supervised(work_folder(), [&](const std::filesystem::path& directory) {
    const Lab lab{assets + "/vmlinux",
                  assets + "/initramfs.cpio",
                  directory / "initramfs.cpio",
                  argv[3],
                  argv[4],
                  directory,
                  std::filesystem::absolute(argv[5])};
    write_file(lab.raw_initramfs, read_file(lab.initramfs) + init_archive(argv[2]));
    if (part == "all" || part == "boot") bench_image_boots(lab);
    if (part == "all" || part == "shares") bench_shares(lab);
  });
}
