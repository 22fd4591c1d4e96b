#include "core/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.h"
#include "support/environment.h"
#include "support/temp_dir.h"
#include "support/text.h"
#include "support/working_directory.h"

using vmette::core::Code;
using vmette::core::Command;
using vmette::core::Config;
using vmette::core::RootfsBlock;
using vmette::core::RootfsShare;
using vmette::core::ShareTransport;
using vmette::core::validate;
using vmette::core::VsockMode;
using vmette_test::contains;
using vmette_test::TempDir;

namespace {

template <class Change>
Config with(Change change) {
  Config config;
  change(config);
  return config;
}

bool accepts(const Config& config) {
  const auto valid = validate(config);
  if (!valid) UNSCOPED_INFO(valid.error().message);
  return valid.has_value();
}

// Refused as a wrong configuration, in one line that holds the field, the value and the remedy.
void refuses(const Config& config, const std::string& field, const std::string& value,
             const std::string& remedy) {
  const auto valid = validate(config);
  REQUIRE_FALSE(valid);
  const auto& error = valid.error();
  INFO(error.message);
  CHECK(error.code == Code::kInvalidConfig);
  CHECK(error.stage == "config");
  CHECK(error.message.rfind(field + ":", 0) == 0);
  CHECK(contains(error.message, value));
  CHECK(contains(error.message, remedy));
  CHECK_FALSE(contains(error.message, "\n"));
}

template <class Change>
void refuses_change(Change change, const std::string& field, const std::string& value,
                    const std::string& remedy) {
  refuses(with(change), field, value, remedy);
}

// Right in itself, and refused because this version's machines lack it.
void unsupported(const Config& config, const std::string& field) {
  const auto valid = validate(config);
  REQUIRE_FALSE(valid);
  INFO(valid.error().message);
  CHECK(valid.error().code == Code::kUnsupported);
  CHECK(contains(valid.error().message, field));
}

bool root() {
  return geteuid() == 0;
}

}  // namespace

TEST_CASE("the defaults are the documented ones and valid") {
  const Config config;
  CHECK(config.vcpus == 1);
  CHECK(config.mem_mib == 512);
  CHECK(config.guest_vsock_port == 1025);
  CHECK(config.vsock_mode == VsockMode::kAuto);
  CHECK(config.timeout_seconds == 0);
  CHECK(config.ready_timeout_ms == 60'000);
  CHECK(config.capture_limit == 1024 * 1024);
  CHECK(config.scratch_mib == 0);
  CHECK_FALSE(config.net);
  CHECK_FALSE(config.switch_root);
  CHECK_FALSE(config.quiet);
  CHECK_FALSE(config.capture_output);
  CHECK_FALSE(config.exec);
  CHECK(config.hostname == "vmette");
  CHECK(accepts(config));
}

TEST_CASE("numbers are accepted at the ends of their range and refused beyond") {
  const uint32_t most_vcpus = std::max(32U, std::thread::hardware_concurrency());
  CHECK(accepts(with([&](Config& c) { c.vcpus = most_vcpus; })));
  refuses_change([](Config& c) { c.vcpus = 0; }, "vcpus", "0", "from 1 to ");
  refuses_change([&](Config& c) { c.vcpus = most_vcpus + 1; }, "vcpus",
                 std::to_string(most_vcpus + 1), std::to_string(most_vcpus));

  CHECK(accepts(with([](Config& c) { c.mem_mib = 64; })));
  CHECK(accepts(with([](Config& c) { c.mem_mib = 1024 * 1024; })));
  refuses_change([](Config& c) { c.mem_mib = 63; }, "mem_mib", "63", "from 64");
  refuses_change([](Config& c) { c.mem_mib = UINT64_MAX; }, "mem_mib", "18446744073709551615",
                 "1048576");

  CHECK(accepts(with([](Config& c) { c.ready_timeout_ms = 1; })));
  refuses_change([](Config& c) { c.ready_timeout_ms = 0; }, "ready_timeout_ms", "0", "at least 1");

  const auto fixed = [](uint32_t port) {
    return with([port](Config& c) {
      c.vsock_mode = VsockMode::kFixed;
      c.vsock_port = port;
    });
  };
  refuses(fixed(0), "vsock_port", "0", "choose auto");
  refuses(fixed(UINT32_MAX), "vsock_port", "4294967295", "1 to 4294967294");
  CHECK(accepts(with([](Config& c) { c.vsock_port = UINT32_MAX; })));  // counts with kFixed only

  refuses_change([](Config& c) { c.guest_vsock_port = 0; }, "guest_vsock_port", "0", "from 1");
  refuses_change([](Config& c) { c.guest_vsock_port = UINT32_MAX; }, "guest_vsock_port",
                 "4294967295", "from 1");
}

TEST_CASE("host names follow the rules of host names") {
  for (const std::string good : {"a", "A-1", "0", "x--y"})
    CHECK(accepts(with([&](Config& c) { c.hostname = good; })));
  CHECK(accepts(with([](Config& c) { c.hostname = std::string(63, 'h'); })));
  for (const std::string bad : {"", "-a", "a-", "a.b", "a b", "a_b", "\xc3\xa4", "a\nb"})
    refuses_change([&](Config& c) { c.hostname = bad; }, "hostname", "", "letters");
  refuses_change([](Config& c) { c.hostname = std::string(64, 'h'); }, "hostname",
                 std::string(64, 'h'), "1 to 63");
}

TEST_CASE("the kernel command line is one line of limited length") {
  CHECK(accepts(with([](Config& c) { c.cmdline.clear(); })));
  CHECK(accepts(with([](Config& c) { c.cmdline = std::string(1500, 'x'); })));
  refuses_change([](Config& c) { c.cmdline = std::string(1501, 'x'); }, "cmdline", "1501",
                 "shorten it to 1500");
  refuses_change([](Config& c) { c.cmdline = "quiet\npanic=1"; }, "cmdline", "quiet", "one line");
  CHECK(accepts(with([](Config& c) { c.cmdline = "a=\"b c\""; })));
  refuses_change([](Config& c) { c.cmdline = "a=\"b c"; }, "cmdline", "a=\"b c", "in pairs");
}

TEST_CASE("environment keys are names and values are anything") {
  for (const std::string good : {"A", "_", "a1_B", "__"})
    CHECK(accepts(with([&](Config& c) { c.env = {{good, "\xff = \n"}, {good, ""}}; })));
  for (const std::string bad : {"", "1A", "A-B", "A=B", "A B", "\xc3\xa4", "A.B"})
    refuses_change([&](Config& c) { c.env = {{"OK", ""}, {bad, "v"}}; }, "env", "",
                   "[A-Za-z_][A-Za-z0-9_]*");
}

TEST_CASE("an empty command is refused") {
  CHECK(accepts(with([](Config& c) { c.exec = Command{{"true", ""}, false}; })));
  refuses_change([](Config& c) { c.exec = Command{{}, false}; }, "exec", "''", "name a program");
  refuses_change([](Config& c) { c.exec = Command{{""}, true}; }, "exec", "''", "shell line");
}

TEST_CASE("files that are missing, no files or unreadable are refused with their path") {
  const TempDir dir;
  const std::string file = dir.write("file", "x");
  const std::string gone = dir / "gone";
  CHECK(accepts(with([&](Config& c) { c.kernel = c.initramfs = file; })));
  refuses_change([&](Config& c) { c.kernel = gone; }, "kernel", gone, "No such file");
  refuses_change([&](Config& c) { c.kernel = dir.path(); }, "kernel", dir.path(), "path of a file");
  refuses_change([&](Config& c) { c.initramfs = gone; }, "initramfs", gone, "existing file");
  refuses_change([&](Config& c) { c.kernel = "/dev/null"; }, "kernel", "/dev/null", "not a file");
  if (!root()) {  // root reads everything
    REQUIRE(chmod(file.c_str(), 0) == 0);
    refuses_change([&](Config& c) { c.kernel = file; }, "kernel", file, "permissions");
  }
}

TEST_CASE("a directory as rootfs must be a directory that can be read") {
  const TempDir dir;
  const std::string file = dir.write("file", "x");
  CHECK(accepts(with([](Config& c) { c.rootfs = RootfsShare{"/", false}; })));
  CHECK(accepts(with([](Config& c) { c.rootfs = RootfsShare{"/", true}; })));
  refuses_change([&](Config& c) { c.rootfs = RootfsShare{dir / "gone", false}; }, "rootfs",
                 dir / "gone", "existing directory");
  refuses_change([&](Config& c) { c.rootfs = RootfsShare{file, false}; }, "rootfs", file,
                 "path of a directory");
  refuses_change([&](Config& c) { c.rootfs = RootfsShare{"", false}; }, "rootfs", "''",
                 "existing directory");
}

TEST_CASE("share tags are checked before anything else about a share") {
  const auto tagged = [](std::vector<std::string> tags) {
    return with([&](Config& c) {
      for (const std::string& tag : tags) c.shares.push_back({tag, "/", true, ""});
    });
  };
  for (const std::string bad : {"", ".", "..", "a/b", "a b", "\xc3\xa4"})
    refuses(tagged({bad}), "shares", "'" + bad + "'", "[A-Za-z0-9._-]");
  refuses(tagged({std::string(36, 't')}), "shares", std::string(36, 't'), "1 to 35");
  for (const std::string reserved : {"rootfs", "ctl"})
    refuses(tagged({reserved}), "shares", "'" + reserved + "'", "another name");
  refuses(tagged({"one", "two", "one"}), "shares", "'one'", "own name");
  refuses_change([](Config& c) { c.shares = {{"ok", "/no/such", true, ""}}; }, "shares", "/no/such",
                 "existing directory");
  CHECK(accepts(tagged({"one", std::string(35, 't')})));
}

TEST_CASE("a share's mount point is a plain path of the guest's root and used once") {
  const auto mounted = [](const std::vector<std::string>& targets) {
    return with([&](Config& c) {
      for (size_t i = 0; i < targets.size(); ++i)
        c.shares.push_back({"tag" + std::to_string(i), "/", true, targets[i]});
    });
  };
  CHECK(accepts(mounted({"", "/srv", "/srv/a.b/c", "/devices", "/mnt"})));
  for (const std::string bad : {"srv", "/", "/srv/", "//srv", "/a/./b", "/a/../b", "/..", "/."})
    refuses(mounted({bad}), "shares", "'" + bad + "'", "absolute path");
  refuses(mounted({std::string("/a\0b", 4)}), "shares", "tag0", "absolute path");
  for (const std::string taken : {"/proc", "/proc/x", "/sys", "/dev/shm"})
    refuses(mounted({taken}), "shares", "'" + taken + "'", "choose another");
  refuses(mounted({"/a", "/a"}), "shares", "'/a'", "its own");
  refuses(mounted({"", "/mnt/tag0"}), "shares", "'/mnt/tag0'", "its own");
}

TEST_CASE("as many shares and disks are accepted as a machine has devices, and one more is not") {
  const TempDir dir;
  const std::string file = dir.write("disk", "x");
  const auto many = [&](size_t count) {
    return with([&](Config& c) {
      for (size_t i = 0; i < count; ++i)
        c.shares.push_back({"tag" + std::to_string(i), "/", true, ""});
    });
  };
  CHECK(accepts(many(22)));
  refuses(many(23), "shares, disks", "23", "at most 23 devices");
  refuses(with([&](Config& c) {
            c = many(22);
            c.rootfs = RootfsShare{"/", false};
          }),
          "shares, disks", "22", "leaves 21");
  refuses(with([&](Config& c) {
            c = many(22);
            c.disks.push_back({file, true, "", ""});
          }),
          "shares, disks", "23", "leaves 22");
}

TEST_CASE("sixteen shares and disks fit beside root, scratch disk, network and vsock") {
  const TempDir dir;
  const auto full = with([&](Config& c) {
    for (int i = 0; i < 8; ++i) {
      c.shares.push_back({"tag" + std::to_string(i), "/", true, ""});
      c.disks.push_back({dir.write("disk" + std::to_string(i), "x"), true, "", ""});
    }
    c.rootfs = RootfsShare{"/", false};
    c.scratch_mib = 64;
    c.net = true;
    c.vsock_mode = VsockMode::kFixed;
    c.vsock_port = 1;
  });
  unsupported(full, "net");
  refuses(with([&](Config& c) {
            c = full;
            for (int i = 8; i < 11; ++i)
              c.shares.push_back({"tag" + std::to_string(i), "/", true, ""});
          }),
          "shares, disks", "19", "leaves 18");
}

TEST_CASE("disks must be files that can be read and, unless read-only, written") {
  const TempDir dir;
  refuses_change([&](Config& c) { c.disks = {{dir / "gone", false, "", ""}}; }, "disks",
                 dir / "gone", "existing file");
  refuses_change([&](Config& c) { c.disks = {{dir.path(), true, "", ""}}; }, "disks", dir.path(),
                 "path of a file");
  if (!root()) {
    const std::string file = dir.write("disk", "x");
    REQUIRE(chmod(file.c_str(), 0400) == 0);
    refuses_change([&](Config& c) { c.disks = {{file, false, "", ""}}; }, "disks", file, "written");
  }
}

TEST_CASE("an image as root has a type that is known") {
  const TempDir dir;
  const std::string file = dir.write("file", "x");
  refuses_change([&](Config& c) { c.rootfs = RootfsBlock{file, "vfat"}; }, "rootfs", "vfat",
                 "squashfs, erofs or ext4");
}

TEST_CASE("a scratch disk has a size that ext4 can have, and a place") {
  const TempDir dir;
  for (const uint64_t mib : {16U, 16U * 1024 * 1024})
    CHECK(accepts(with([&](Config& c) { c.scratch_mib = mib; })));
  refuses_change([](Config& c) { c.scratch_mib = 15; }, "scratch_mib", "15", "from 16 to 16777216");
  refuses_change([](Config& c) { c.scratch_mib = 16777217; }, "scratch_mib", "16777217",
                 "from 16 to 16777216");
  refuses_change(
      [&](Config& c) {
        c.scratch_mib = 16;
        c.scratch_dir = dir / "gone";
      },
      "scratch_dir", dir / "gone", "existing directory");
}

TEST_CASE("paths are meant from where the caller was, and lead through links as they are written") {
  const TempDir dir;
  std::filesystem::create_directories(dir / "far/deep");
  std::filesystem::create_directory_symlink(dir / "far/deep", dir / "link");
  (void)dir.write("far/image", "x");
  const vmette_test::WorkingDirectory here(dir.path());
  const vmette_test::Environment variable("VMETTE_SCRATCH_DIR", "far");
  Config config;
  config.rootfs = RootfsBlock{"link/../image", "", false};
  config.shares.push_back({"a", ".", false, ""});
  config.disks.push_back({"./link/../image", true, "", ""});
  config.scratch_mib = 16;
  vmette::core::settle_paths(config);
  const std::string root = std::filesystem::current_path().string();
  CHECK(std::get<RootfsBlock>(config.rootfs).path == root + "/link/../image");
  CHECK(config.shares[0].path == root);
  CHECK(config.disks[0].path == root + "/link/../image");
  CHECK(std::filesystem::exists(config.disks[0].path));
  CHECK(config.scratch_dir == root + "/far");
}

TEST_CASE("settings that contradict each other are refused") {
  refuses_change(
      [](Config& c) {
        c.rootfs = RootfsShare{"/", true};
        c.switch_root = true;
        c.exec = Command{{"true"}, false};
      },
      "switch_root", "read-only", "drop switch_root");
  refuses_change(
      [](Config& c) {
        c.rootfs = RootfsShare{"/", true};
        c.scratch_mib = 17;
      },
      "scratch_mib", "17", "drop one");
  refuses_change(
      [](Config& c) {
        c.build_snapshot = "/a";
        c.resume_snapshot = "/b";
        c.exec = Command{{"true"}, false};
      },
      "build_snapshot", "/a", "use one");
  refuses_change([](Config& c) { c.resume_shares = 2; }, "resume_shares", "2", "snapshottable");
  refuses_change(
      [](Config& c) {
        c.snapshottable = true;
        c.vsock_mode = VsockMode::kFixed;
        c.vsock_port = 77;
      },
      "vsock_port", "77", "choose auto or disabled");
  refuses_change(
      [](Config& c) {
        c.build_snapshot = "/a";
        c.shares.push_back({"work", "/tmp", false, {}});
        c.share_transport = ShareTransport::kVirtiofs;
      },
      "share_transport", "virtiofs", "choose auto or 9p");
}

TEST_CASE("what this version cannot do is said by its field") {
  unsupported(with([](Config& c) { c.net = true; }), "net");
  unsupported(with([](Config& c) { c.guest_vsock_port = 1026; }), "guest_vsock_port");
  unsupported(with([](Config& c) {
                c.vsock_mode = VsockMode::kFixed;
                c.vsock_port = 1;
              }),
              "vsock_port");
}

TEST_CASE("a message stays one readable line whatever the value holds") {
  const auto valid = validate(with([](Config& c) { c.kernel = "/a\nb\x1b[31m\xff"; }));
  REQUIRE_FALSE(valid);
  CHECK(contains(valid.error().message, "/a b [31m?"));
  const auto long_one = validate(with([](Config& c) { c.kernel = std::string(100'000, 'k'); }));
  REQUIRE_FALSE(long_one);
  CHECK(long_one.error().message.size() < 2100);
}
