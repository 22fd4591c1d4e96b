// What programs find in a booted root: mounts, device files, host names, CA certificates.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "session/machine.h"
#include "support/certificates.h"
#include "support/environment.h"
#include "support/images.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::Config;
using vmette::Exec;
using vmette::Session;
using vmette_test::certificate;
using vmette_test::contains;
using vmette_test::must;
using vmette_test::pem;
using vmette_test::Ran;
using vmette_test::run_in;
using vmette_test::started;
using vmette_test::TempDir;
using vmette_test::text;

namespace fs = std::filesystem;

namespace {

constexpr const char* kStore = "etc/ssl/certs/ca-certificates.crt";
constexpr const char* kOtherStore = "var/lib/ca-certificates/ca-bundle.pem";

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A root needs no more than a shell.
void add_busybox(const TempDir& root) {
  fs::create_directories(root / "bin");
  fs::copy_file("/bin/busybox", root / "bin/busybox");
  for (const char* name : {"sh", "awk", "cat", "hostname", "ls", "rm", "stat", "touch"})
    fs::create_symlink("busybox", root.path() / "bin" / name);
}

// As images have it: mount points, files of another machine, two trust stores with three names.
void make_root(const TempDir& root) {
  add_busybox(root);
  for (const char* name : {"dev", "proc", "run", "sys", "tmp"}) fs::create_directories(root / name);
  (void)root.write("run/other", "of another machine");
  (void)root.write("etc/hosts", "127.0.0.1 localhost\n10.0.0.1 other");
  (void)root.write("etc/hostname", "a-name-that-is-longer\n");
  (void)root.write(kStore, "first");
  (void)root.write(kOtherStore, "second\n");
  fs::create_symlink("/etc/ssl/certs/ca-certificates.crt", root.path() / "etc/ssl/cert.pem");
  fs::create_symlink("../../var/lib/ca-certificates/ca-bundle.pem",
                     root.path() / "etc/ssl/ca-bundle.pem");
  REQUIRE(chmod(root.path().c_str(), 0755) == 0);
  REQUIRE(chmod((root / "tmp").c_str(), 0700) == 0);
  REQUIRE(chmod((root / kStore).c_str(), 0444) == 0);
}

void check_root_unchanged(const TempDir& root) {
  CHECK(read_file(root / "etc/hosts") == "127.0.0.1 localhost\n10.0.0.1 other");
  CHECK(read_file(root / "etc/hostname") == "a-name-that-is-longer\n");
  CHECK(read_file(root / kStore) == "first");
  CHECK(read_file(root / kOtherStore) == "second\n");
  CHECK(fs::exists(root / "run/other"));
}

std::string timeline_of(const Session& session) {
  std::string lines;
  for (size_t i = 0; i < session.timeline_count(); ++i)
    lines += text(session.timeline(i).name) + "\n";
  return lines;
}

// A machine that must not see what the calling user has set for all of them.
Session started_with(Config& config, const TempDir& root, bool read_only, bool switch_root) {
  const vmette_test::Environment none("VMETTE_CA_CERTS", "");
  config.set_rootfs_share(root.path().string(), read_only).set_switch_root(switch_root);
  config.set_hostname("Box-1");
  return started(config);
}

void check_mounts(Session& session, bool read_only) {
  const Ran ran =
      run_in(session,
             "for d in /proc /sys /sys/fs/cgroup /dev /dev/pts /dev/shm /run /tmp; do"
             "  echo $d $(awk -v d=$d '$2 == d { t = $3 } END { print t }' /proc/mounts)"
             "    $(stat -c %a $d); done; ls -A /run");
  INFO(ran.err);
  CHECK(ran.out == std::string("/proc proc 555\n/sys sysfs 555\n/sys/fs/cgroup cgroup2 555\n"
                               "/dev devtmpfs 755\n/dev/pts devpts 755\n/dev/shm tmpfs 1777\n"
                               "/run tmpfs 755\n/tmp ") +
                       (read_only ? "tmpfs " : "") + "1777\n");
}

void check_devices(Session& session) {
  const Ran pty =
      run_in(session, "exec 3<>/dev/ptmx && ls /dev/pts && stat -c %a /dev/ptmx /dev/pts/ptmx");
  INFO(pty.err);
  CHECK(pty.out == "0\nptmx\n666\n666\n");
  const Ran streams =
      run_in(session,
             "echo a | cat /dev/stdin; echo b > /dev/stdout; echo c > /dev/stderr;"
             "cat /dev/fd/3 3< /etc/hostname; : > /dev/null; head -c 3 /dev/zero | cat -v");
  CHECK(streams.out == "a\nb\nBox-1\n^@^@^@");
  CHECK(streams.err == "c\n");
  Exec anybody("touch /tmp/x /dev/shm/x && rm /tmp/x /dev/shm/x && echo done");
  anybody.set_user("1234:1234");
  CHECK(run_in(session, anybody).out == "done\n");
}

void check_names(Session& session) {
  const Ran ran = run_in(session, "hostname; cat /etc/hostname /etc/hosts");
  CHECK(ran.out ==
        "Box-1\nBox-1\n127.0.0.1 localhost\n10.0.0.1 other\n::1 localhost\n127.0.1.1 Box-1\n");
}

void check_stores(Session& session, const std::string& added) {
  const auto content = [&](const char* path) {
    return text(must(session.read_file(std::string("/") + path, 1 << 20)).data());
  };
  for (const char* path : {kStore, "etc/ssl/cert.pem"}) CHECK(content(path) == "first\n" + added);
  for (const char* path : {kOtherStore, "etc/ssl/ca-bundle.pem"})
    CHECK(content(path) == "second\n" + added);
  CHECK(run_in(session, "stat -c %a /etc/ssl/certs/ca-certificates.crt").out == "444\n");
  CHECK(contains(timeline_of(session), "\nca certificates\n"));
}

}  // namespace

TEST_CASE("a root's programs find mounts, devices, names and certificates in every mode") {
  const TempDir root;
  make_root(root);
  const TempDir certs;
  (void)certs.write("b.pem", pem(certificate("two")));
  (void)certs.write("a.crt", certificate("one"));
  for (const bool read_only : {false, true}) {
    for (const bool switch_root : {false, true}) {
      INFO("read_only " << read_only << ", switch_root " << switch_root);
      Config config;
      config.set_ca_certs(certs.path().string());
      auto session = started_with(config, root, read_only, switch_root);
      check_mounts(session, read_only);
      check_devices(session);
      check_names(session);
      check_stores(session, pem(certificate("one")) + pem(certificate("two")));
      must(session.kill());
      check_root_unchanged(root);
    }
  }
}

TEST_CASE("a share with the tag certs gives the certificates and is mounted") {
  const TempDir root;
  make_root(root);
  const TempDir shared;
  (void)shared.write("x.pem", pem(certificate("shared")));
  Config config;
  config.set_ca_certs("/no/such/directory").add_share("certs", shared.path().string(), true);
  auto session = started_with(config, root, false, false);
  check_stores(session, pem(certificate("shared")));
  CHECK(run_in(session, "cat /mnt/certs/x.pem").out == pem(certificate("shared")));
  must(session.kill());
  check_root_unchanged(root);
}

TEST_CASE("a bare root gets names, and without a trust store the timeline says so") {
  const TempDir root;
  add_busybox(root);
  const TempDir certs;
  (void)certs.write("x.pem", pem(certificate("one")));
  Config config;
  config.set_ca_certs(certs.path().string());
  auto session = started_with(config, root, false, false);
  CHECK(contains(timeline_of(session), "\nca certificates: no trust store\n"));
  CHECK(run_in(session, "cat /etc/hostname /etc/hosts; stat -c %a /run /tmp; ls -A /etc").out ==
        "Box-1\n127.0.0.1 localhost\n::1 localhost\n127.0.1.1 Box-1\n755\n1777\nhostname\nhosts\n");
  must(session.kill());
}

TEST_CASE("a writable share in the place of /etc is not written") {
  const TempDir root;
  make_root(root);
  const TempDir certs;
  (void)certs.write("x.pem", pem(certificate("one")));
  const TempDir shared;
  (void)shared.write("hosts", "of the host\n");
  (void)shared.write("ssl/cert.pem", "store\n");
  Config config;
  config.set_ca_certs(certs.path().string())
      .add_share_at("etc", shared.path().string(), "/etc", false);
  auto session = started_with(config, root, false, false);
  CHECK(run_in(session, "cat /etc/hosts /etc/ssl/cert.pem").out == "of the host\nstore\n");
  must(session.kill());
  CHECK(read_file(shared / "hosts") == "of the host\n");
  CHECK(read_file(shared / "ssl/cert.pem") == "store\n");
  CHECK_FALSE(fs::exists(shared.path() / "hostname"));
}

TEST_CASE("a root with pipes, devices and links in the place of files boots") {
  const TempDir root;
  add_busybox(root);
  (void)root.write("etc/passwd", "root:x:0:0::/:/bin/sh\n");
  REQUIRE(mkfifo((root / "etc/hosts").c_str(), 0644) == 0);
  fs::create_directories(root / "etc/ssl/certs/ca-certificates.crt");
  for (const auto& [name, target] :
       {std::pair{"etc/hostname", "/../../dev/console"}, std::pair{"etc/ssl/cert.pem", "/dev/zero"},
        std::pair{"etc/ssl/ca-bundle.pem", "ca-bundle.pem"}})
    fs::create_symlink(target, root.path() / name);
  const TempDir certs;
  (void)certs.write("x.pem", pem(certificate("one")));
  Config config;
  config.set_ca_certs(certs.path().string());
  auto session = started_with(config, root, false, false);
  CHECK(run_in(session, "hostname").out == "Box-1\n");
  CHECK(contains(timeline_of(session), "\nca certificates: no trust store\n"));
  must(session.kill());
}

TEST_CASE("with the host's / as root the guest's name resolves and its terminals open") {
  for (const bool read_only : {false, true}) {
    INFO("read_only " << read_only);
    Config config;
    config.set_rootfs_share("/", read_only).set_hostname("a-guest").set_ca_certs("");
    auto session = started(config);
    const Ran ran = run_in(session,
                           "hostname -f; cat /etc/hostname; python3 -c 'import os, socket;"
                           "print(socket.gethostbyname(socket.gethostname()));"
                           "main, other = os.openpty(); print(os.ttyname(other))'");
    INFO(ran.err);
    CHECK(ran.out == "a-guest\na-guest\n127.0.1.1\n/dev/pts/0\n");
    CHECK_FALSE(contains(timeline_of(session), "ca certificates"));
    must(session.kill());
  }
}

TEST_CASE("what a CA of the host has signed is trusted in the guest, and only with that CA") {
  if (access("/usr/bin/openssl", X_OK) != 0 || !fs::exists(fs::path("/") / kStore)) {
    WARN("not tested: the host has no openssl or no trust store");
    return;
  }
  const TempDir dir;
  const std::string key = dir / "ca/ca.key";
  const std::string ca = dir / "ca/ca.crt";
  const std::string leaf = dir / "leaf/leaf.pem";
  fs::create_directories(dir / "ca");
  fs::create_directories(dir / "leaf");
  const auto made = [&](const std::string& subject, const std::string& out,
                        std::vector<std::string> more) {
    std::vector<std::string> argv = {"/usr/bin/openssl",
                                     "req",
                                     "-x509",
                                     "-newkey",
                                     "ec",
                                     "-pkeyopt",
                                     "ec_paramgen_curve:prime256v1",
                                     "-nodes",
                                     "-days",
                                     "2",
                                     "-subj",
                                     subject,
                                     "-out",
                                     out};
    argv.insert(argv.end(), more.begin(), more.end());
    vmette_test::tool(argv);
  };
  made("/CN=vmette test CA", ca, {"-keyout", key});
  made("/CN=vmette test leaf", leaf, {"-keyout", dir / "leaf.key", "-CA", ca, "-CAkey", key});
  for (const bool read_only : {false, true}) {
    for (const bool trusted : {false, true}) {
      INFO("read_only " << read_only << ", trusted " << trusted);
      Config config;
      config.set_rootfs_share("/", read_only).set_ca_certs(trusted ? dir / "ca" : "");
      config.add_share("leaf", dir / "leaf", true);
      auto session = started(config);
      const Ran ran = run_in(session, "openssl verify /mnt/leaf/leaf.pem");
      INFO(ran.err);
      CHECK((ran.out == "/mnt/leaf/leaf.pem: OK\n") == trusted);
      must(session.kill());
    }
  }
}
