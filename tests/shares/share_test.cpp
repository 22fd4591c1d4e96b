// Directories of the host in a machine, over each transport, and what goes wrong with them.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "session/machine.h"
#include "support/mounted.h"
#include "support/program.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::Config;
using vmette::End;
using vmette::ErrorCode;
using vmette::Exec;
using vmette::Session;
using vmette::ShareTransport;
using vmette::Stream;
using vmette_test::children_of;
using vmette_test::contains;
using vmette_test::eventually;
using vmette_test::kDeadline;
using vmette_test::launched;
using vmette_test::Mounted;
using vmette_test::must;
using vmette_test::only_helper;
using vmette_test::Ran;
using vmette_test::run_in;
using vmette_test::start_error;
using vmette_test::started;
using vmette_test::TempDir;
using vmette_test::text;
using vmette_test::Watched;

namespace fs = std::filesystem;

namespace {

bool is_root() {
  return geteuid() == 0;
}

// What can be tested here: QEMU's virtiofsd needs root.
std::vector<ShareTransport> transports() {
  if (is_root()) return {ShareTransport::kVirtiofs, ShareTransport::k9p};
  WARN("virtio-fs is not tested: it needs root here");
  return {ShareTransport::k9p};
}

const char* name_of(ShareTransport transport) {
  return transport == ShareTransport::k9p ? "9p" : "virtio-fs";
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string timeline_of(const Session& session) {
  std::string lines;
  for (size_t i = 0; i < session.timeline_count(); ++i)
    lines += text(session.timeline(i).name) + "\n";
  return lines;
}

// An environment variable that is gone afterwards.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// A command whose stdin and stdout the test holds.
vmette::Process talking(Session& session, const char* line) {
  return must(
      session.exec(Exec(line).set_stdin(vmette::Stdio::kPipe).set_stdout(vmette::Stdio::kPipe)));
}

std::string read_line(const vmette::Process& process) {
  std::string line;
  char byte = 0;
  while (vmette_test::readable(process.fd(Stream::kStdout)) &&
         read(process.fd(Stream::kStdout), &byte, 1) == 1 && byte != '\n')
    line += byte;
  return line;
}

void say(const vmette::Process& process, const std::string& line) {
  REQUIRE(write(process.fd(Stream::kStdin), line.data(), line.size()) ==
          static_cast<ssize_t>(line.size()));
}

// Processes of that name below `pid`.
std::vector<Watched> descendants(pid_t pid, const std::string& name) {
  std::vector<Watched> found;
  for (Watched& child : children_of(pid)) {
    for (Watched& below : descendants(child.pid(), name)) found.push_back(std::move(below));
    if (read_file("/proc/" + std::to_string(child.pid()) + "/comm") == name + "\n")
      found.push_back(std::move(child));
  }
  return found;
}

bool all_end(const std::vector<Watched>& processes) {
  return std::ranges::all_of(processes, [](const Watched& w) { return w.wait_end(kDeadline); });
}

// The programs of the machine below `helper`: QEMU and the two processes of its one virtiofsd.
std::vector<Watched> parts_of(const Watched& helper) {
  std::vector<Watched> parts;
  REQUIRE(eventually([&] {
    parts = descendants(helper.pid(), "virtiofsd");
    for (Watched& part : descendants(helper.pid(), "qemu-system-x86"))
      parts.push_back(std::move(part));
    return parts.size() == 3;
  }));
  return parts;
}

// The name that the socket "socket:[INODE]" has in a file system or, with an @, in none.
std::string socket_name(const std::string& file) {
  if (!file.starts_with("socket:[")) return {};
  const std::string inode = file.substr(8, file.size() - 9);
  std::ifstream table("/proc/net/unix");
  for (std::string line; std::getline(table, line);)
    if (const size_t at = line.find(" " + inode + " "); at != std::string::npos)
      return line.substr(at + inode.size() + 2);
  return {};
}

// Setuid and setgid files and device nodes below `directory`.
std::vector<std::string> special_files(const fs::path& directory) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    struct stat info{};
    REQUIRE(lstat(entry.path().c_str(), &info) == 0);
    const bool device = S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode);
    const bool setid = !S_ISDIR(info.st_mode) && (info.st_mode & (S_ISUID | S_ISGID)) != 0;
    if (device || setid) found.push_back(entry.path());
  }
  return found;
}

}  // namespace

TEST_CASE("a share is written by the guest and by the host, wherever it is mounted") {
  for (const auto transport : transports()) {
    INFO(name_of(transport));
    const TempDir dir;
    const std::string odd = dir / "a, b\\c=d";
    const std::string long_tag(35, 't');
    fs::create_directories(odd);
    const std::string inner = dir / "inner";
    fs::create_directories(inner);
    (void)dir.write("inner/file", "inner");
    Config config;
    config.set_share_transport(transport)
        .add_share("box", dir.path().string(), false)
        .add_share(long_tag, odd, false)
        .add_share_at("inner", inner, "/srv/deep/inner", false)
        .add_share_at("outer", odd, "/srv/deep", false)
        .add_share("all", "/", true);
    auto session = started(config);
    CHECK(contains(timeline_of(session), std::string("share box: ") + name_of(transport)));

    (void)dir.write("from-host", "hello");
    const Ran ran = run_in(session,
                           "cat /mnt/box/from-host; echo guest > /mnt/box/from-guest;"
                           "echo odd > /mnt/ttttttttttttttttttttttttttttttttttt/file;"
                           "cat /srv/deep/file /srv/deep/inner/file;"
                           "test -d /mnt/all/etc && ! touch /mnt/all/x");
    INFO(ran.err);
    CHECK(ran.code == 0);
    CHECK(ran.out == "helloodd\ninner");
    CHECK(read_file(dir / "from-guest") == "guest\n");
    CHECK(read_file(odd + "/file") == "odd\n");
    CHECK_FALSE(fs::exists("/x"));
    must(session.kill());
  }
}

TEST_CASE("a relative path is meant from where the caller was") {
  const TempDir dir;
  (void)dir.write("file", "here");
  const fs::path before = fs::current_path();
  fs::current_path(dir.path());
  Config config;
  config.set_share_transport(ShareTransport::k9p).add_share("box", ".", true);
  config.set_exec("cat /mnt/box/file").set_capture_output(true);
  auto session = vmette_test::created(config);
  fs::current_path(before);
  must(session.launch());
  must(session.wait(kDeadline));
  CHECK(text(must(session.output()).stdout_text()) == "here");
}

TEST_CASE("an exclusive write or rename replaces nothing on a share") {
  for (const auto transport : transports()) {
    INFO(name_of(transport));
    const TempDir dir;
    Config config;
    config.set_share_transport(transport).add_share("box", dir.path().string(), false);
    auto session = started(config);
    constexpr auto kOnce = vmette::FileFlags::kExclusive;
    for (const auto flags : {kOnce, kOnce | vmette::FileFlags::kAtomic}) {
      must(session.write_file("/mnt/box/new", "first", flags));
      const auto again = session.write_file("/mnt/box/new", "second", flags);
      REQUIRE(!again);
      CHECK(again.error().errno_value() == EEXIST);
      CHECK(read_file(dir / "new") == "first");
      must(session.remove("/mnt/box/new"));
    }
    must(session.write_file("/mnt/box/a", "a"));
    must(session.write_file("/mnt/box/b", "b"));
    const auto taken = session.rename("/mnt/box/a", "/mnt/box/b", kOnce);
    REQUIRE(!taken);
    CHECK(taken.error().errno_value() == EEXIST);
    must(session.rename("/mnt/box/a", "/mnt/box/c", kOnce));
    CHECK(read_file(dir / "b") == "b");
    CHECK(read_file(dir / "c") == "a");
    CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 2);
    must(session.kill());
  }
}

TEST_CASE("a read-only share cannot be written, whatever the guest mounts") {
  for (const auto transport : transports()) {
    INFO(name_of(transport));
    const TempDir dir;
    (void)dir.write("share/file", "kept");
    const std::string below = dir / "share/below";
    fs::create_directories(below);
    std::optional<Mounted> mounted;
    if (is_root()) mounted.emplace(below, "size=1m");
    std::ofstream(below + "/file") << "kept";
    Config config;
    config.set_share_transport(transport).add_share("box", dir / "share", true);
    auto session = started(config);
    const Ran ran = run_in(
        session,
        "type=$(awk '$2 == \"/mnt/box\" { print $3 }' /proc/mounts); mkdir /again;"
        "mount -o remount,rw /mnt/box; umount /mnt/box;"
        "case $type in 9p) options=trans=virtio,version=9p2000.L; esac;"
        "mount -t $type ${options:+-o $options} box /again || exit 9;"
        "for where in /again /again/below; do"
        "  echo x > $where/file; echo x > $where/new; rm $where/file; chmod 777 $where/file;"
        "  mkdir $where/dir; mv $where/file $where/moved; touch $where/file; ln -s x $where/link;"
        "done; cat /again/file /again/below/file");
    INFO(ran.err);
    CHECK(ran.code == 0);
    CHECK(ran.out == "keptkept");
    CHECK(contains(ran.err, "Read-only file system"));
    CHECK(read_file(dir / "share/file") == "kept");
    CHECK(read_file(below + "/file") == "kept");
    CHECK(std::distance(fs::directory_iterator(dir / "share"), {}) == 2);
    CHECK(std::distance(fs::directory_iterator(below), {}) == 1);
    must(session.kill());
  }
}

TEST_CASE("a hostile guest plants nothing special on the host and reaches nothing outside") {
  if (!is_root()) {
    WARN("not tested: root-owned files need root");
    return;
  }
  for (const auto transport : transports()) {
    INFO(name_of(transport));
    const TempDir dir;
    (void)dir.write("secret", "host secret");
    const std::string existing = dir.write("share/existing", "program");
    REQUIRE(chmod(existing.c_str(), 06755) == 0);
    Config config;
    config.set_share_transport(transport)
        .set_rootfs_share("/")
        .add_share("box", dir / "share", false)
        .add_share("scripts", VMETTE_TEST_SHARES, true);
    auto session = started(config);
    const Ran ran = run_in(session, "python3 /mnt/scripts/hostile.py /mnt/box");
    INFO(ran.err);
    CHECK(ran.out == "done\n");
    CHECK(contains(read_file(existing), "planted"));
    CHECK(special_files(dir / "share").empty());
    CHECK(read_file(dir / "secret") == "host secret");
    CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 2);
    std::string capability(64, '\0');
    CHECK(getxattr((dir / "share/set-4755").c_str(), "security.capability", capability.data(),
                   capability.size()) < 0);
    must(session.kill());
  }
}

TEST_CASE("a full disk below a share is ENOSPC in the guest and the session lives on") {
  if (!is_root()) {
    WARN("not tested: a small file system needs root");
    return;
  }
  for (const auto transport : transports()) {
    INFO(name_of(transport));
    const TempDir dir;
    const Mounted small(dir / "small", "size=1m");
    Config config;
    config.set_share_transport(transport).add_share("box", dir / "small", false);
    auto session = started(config);
    const Ran full = run_in(session, "dd if=/dev/zero of=/mnt/box/file bs=64k count=64 conv=fsync");
    INFO(full.err);
    CHECK(full.code != 0);
    CHECK(contains(full.err, "No space left on device"));
    CHECK(run_in(session, "rm /mnt/box/file && echo again > /mnt/box/file").code == 0);
    CHECK(read_file(dir / "small/file") == "again\n");
    must(session.kill());
  }
}

TEST_CASE("a file that the host deletes or replaces can be read to its end by who has it open") {
  for (const auto transport : transports()) {
    INFO(name_of(transport));
    const TempDir dir;
    const std::string old(3'000'000, 'o');
    const std::string deleted = dir.write("deleted", old);
    const std::string replaced = dir.write("replaced", old);
    Config config;
    config.set_share_transport(transport).add_share("box", dir.path().string(), false);
    auto session = started(config);
    auto reader = talking(session,
                          "cd /mnt/box; exec 3< deleted 4< replaced; head -c 10 <&3; head -c 10 "
                          "<&4; echo; read x; cat <&3 | tr -d o | wc -c; cat <&4 | tr -d o | wc -c;"
                          "while [ \"$(cat replaced)\" != new ] || [ -e deleted ]; do sleep 0.1;"
                          "done; echo seen");
    REQUIRE(read_line(reader) == std::string(20, 'o'));
    fs::remove(deleted);
    (void)dir.write("other", "new");
    fs::rename(dir / "other", replaced);
    say(reader, "\n");
    CHECK(read_line(reader) == "0");
    CHECK(read_line(reader) == "0");
    CHECK(read_line(reader) == "seen");
    must(reader.wait(kDeadline));
    CHECK(reader.exit_code() == 0);
    must(session.kill());
  }
}

TEST_CASE("a virtiofsd that is killed ends the session with an error that names its share") {
  if (!is_root()) return;
  const TempDir dir;
  (void)dir.write("file", "x");
  Config config;
  config.set_share_transport(ShareTransport::kVirtiofs)
      .add_share("box", dir.path().string(), false);
  for (const bool inner : {false, true}) {
    INFO((inner ? "the serving process" : "its parent"));
    auto session = started(config);
    auto reader = talking(session, "while cat /mnt/box/file > /dev/null; do echo; done");
    (void)read_line(reader);
    const Watched helper = only_helper();
    const auto servers = descendants(helper.pid(), "virtiofsd");
    REQUIRE(servers.size() == 2);
    (inner ? servers.front() : servers.back()).signal(SIGKILL);
    must(session.wait(kDeadline));
    INFO(session.end_message());
    CHECK(session.end() == End::kError);
    CHECK(contains(session.end_message(), "share box (virtiofsd)"));
    CHECK(all_end(servers));
    CHECK(vmette_test::own_helpers().empty());
  }
}

TEST_CASE("a helper that is killed takes its virtiofsd with it, and no name stays behind") {
  if (!is_root()) return;
  const TempDir dir;
  Config config;
  config.set_share_transport(ShareTransport::kVirtiofs)
      .add_share("box", dir.path().string(), false);
  auto session = started(config);
  const Watched helper = only_helper();
  const auto servers = descendants(helper.pid(), "virtiofsd");
  REQUIRE(servers.size() == 2);
  for (const Watched& server : servers)
    for (const std::string& file : vmette_test::open_files(server.pid()))
      CHECK_FALSE(socket_name(file).starts_with('/'));
  helper.signal(SIGKILL);
  must(session.wait(kDeadline));
  CHECK(session.end() == End::kError);
  CHECK(all_end(servers));
}

TEST_CASE("where virtiofsd cannot start the choice is 9p with the reason, or an error if forced") {
  const TempDir dir;
  const Variable broken("VMETTE_VIRTIOFSD", "/bin/false");
  Config config;
  config.add_share("box", dir.path().string(), false);
  config.set_exec("touch /mnt/box/file");
  const Session session = vmette_test::finished(config);
  CHECK(session.exit_code() == 0);
  CHECK(fs::exists(dir / "file"));
  CHECK(contains(timeline_of(session), "share box: 9p (/bin/false is no virtiofsd"));

  config.set_share_transport(ShareTransport::kVirtiofs);
  const auto error = start_error(config);
  INFO(error.message());
  CHECK(error.code() == ErrorCode::kInvalidConfig);
  CHECK(contains(error.message(), "/bin/false is no virtiofsd"));
  CHECK(contains(error.message(), "use auto or 9p"));
}

TEST_CASE("a directory that the caller may not read is refused by its path") {
  if (!is_root()) return;
  const TempDir dir;
  fs::create_directories(dir / "locked");
  REQUIRE(chmod(dir.path().c_str(), 0755) == 0);
  REQUIRE(chmod((dir / "locked").c_str(), 0700) == 0);
  const auto ending = vmette_test::run_program({"setpriv", "--reuid=65534", "--regid=65534",
                                                "--clear-groups", VMETTE_TEST_CLI, "--share",
                                                "box=" + (dir / "locked"), "--exec", "true"});
  CHECK(ending.code == 1);
  CHECK(contains(ending.err, "shares: '" + (dir / "locked") + "' cannot be read"));
}

TEST_CASE("whatever of a machine with a share is killed, at any moment, nothing of it stays") {
  if (!is_root()) return;
  const TempDir dir;
  Config config;
  config.set_share_transport(ShareTransport::kVirtiofs)
      .add_share("box", dir.path().string(), false);
  for (const bool booting : {true, false}) {
    for (const size_t victim : {0, 1, 2, 3}) {
      INFO((booting ? "booting, " : "ready, ") << "victim " << victim);
      auto session = booting ? launched(config) : started(config);
      const Watched helper = only_helper();
      const auto parts = parts_of(helper);
      (victim < parts.size() ? parts[victim] : helper).signal(SIGKILL);
      must(session.wait(kDeadline));
      CHECK(session.end() == End::kError);
      CHECK(all_end(parts));
      CHECK(helper.wait_end(kDeadline));
    }
  }
}

TEST_CASE("a host program that is killed takes its virtiofsd with it, alone or with its helper") {
  if (!is_root()) return;
  for (const bool with_helper : {false, true}) {
    const TempDir dir;
    vmette_test::ProgramOptions options;
    options.env = {{"VMETTE_TEST_HOST", dir.path()}};
    vmette_test::Program program(
        {VMETTE_TEST_CLI, "--quiet", "--share-transport", "virtiofs", "--share",
         "box=" + dir.path().string(), "--exec", "echo up; sleep 1000"},
        options);
    REQUIRE(program.wait_for("up", kDeadline));
    const auto helpers = vmette_test::helpers_marked("VMETTE_TEST_HOST", dir.path());
    REQUIRE(helpers.size() == 1);
    const auto parts = parts_of(helpers[0]);
    program.signal(SIGSTOP);
    if (with_helper) helpers[0].signal(SIGKILL);
    program.signal(SIGKILL);
    CHECK(all_end(parts));
    CHECK(helpers[0].wait_end(kDeadline));
    CHECK(fs::is_empty(dir.path()));
  }
}

TEST_CASE("as many shares as a machine has devices for boot, and one more is refused before") {
  const TempDir dir;
  Config config;
  config.set_share_transport(ShareTransport::k9p);
  for (int i = 0; i < 22; ++i)
    config.add_share("share" + std::to_string(i), dir.path().string(), true);
  config.set_exec("grep -c ' /mnt/share' /proc/mounts").set_capture_output(true);
  const Session session = vmette_test::finished(config);
  CHECK(text(must(session.output()).stdout_text()) == "22\n");

  config.add_share("more", dir.path().string(), true);
  const auto refused = Session::create(config);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == ErrorCode::kInvalidConfig);
  CHECK(contains(refused.error().message(),
                 "23 are too many; a machine has at most 23 devices, of which this one leaves 22"));
}

TEST_CASE("sixteen shares are there together") {
  const TempDir dir;
  Config config;
  for (int i = 0; i < 16; ++i) {
    const std::string name = "share" + std::to_string(i);
    (void)dir.write(name + "/file", name + "\n");
    config.add_share(name, dir / name, i % 2 == 0);
  }
  config.set_exec("cat /mnt/share*/file | sort | uniq | wc -l").set_capture_output(true);
  const Session session = vmette_test::finished(config);
  CHECK(text(must(session.output()).stdout_text()) == "16\n");
}
