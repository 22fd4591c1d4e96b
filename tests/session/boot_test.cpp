// What a booted machine does for its caller.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "session/machine.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::Config;
using vmette::End;
using vmette::ErrorCode;
using vmette::Session;
using vmette::Stream;
using vmette_test::capturing;
using vmette_test::contains;
using vmette_test::eventually;
using vmette_test::finished;
using vmette_test::launched;
using vmette_test::must;
using vmette_test::started;
using vmette_test::text;

namespace {

// Says whether / can be written and leaves with 7.
constexpr const char* kProbe =
    "echo out; echo err >&2; touch /vmette-probe 2>/dev/null && echo writable; exit 7";

void exits_with_seven(Config& config, const char* expected) {
  config.set_exec(kProbe).set_capture_output(true);
  const Session session = finished(config);
  CHECK(session.end() == End::kExited);
  CHECK(session.exit_code() == 7);
  const auto output = must(session.output());
  CHECK(output.exit_code() == 7);
  CHECK(text(output.stdout_text()) == expected);
  CHECK(text(output.stderr_text()) == "err\n");
}

std::vector<std::string> timeline_names(const Session& session) {
  std::vector<std::string> names;
  for (size_t i = 0; i < session.timeline_count(); ++i)
    names.push_back(text(session.timeline(i).name));
  return names;
}

}  // namespace

TEST_CASE("without a rootfs a command's exit code and output arrive") {
  Config config;
  exits_with_seven(config, "out\nwritable\n");
}

TEST_CASE("with the host's / as rootfs they arrive and the host is not written") {
  Config config;
  config.set_rootfs_share("/");
  exits_with_seven(config, "out\nwritable\n");
  CHECK_FALSE(std::filesystem::exists("/vmette-probe"));
}

TEST_CASE("with the host's / read-only they arrive and nothing can be written") {
  Config config;
  config.set_rootfs_share("/", true);
  exits_with_seven(config, "out\n");
}

TEST_CASE("with the host's / as the guest's real root they arrive") {
  Config config;
  config.set_rootfs_share("/").set_switch_root(true);
  exits_with_seven(config, "out\nwritable\n");
  CHECK_FALSE(std::filesystem::exists("/vmette-probe"));
}

TEST_CASE(
    "a directory of the host is the guest's root, its files readable and nothing else there") {
  const vmette_test::TempDir dir;
  for (const char* path : {"bin", "lib", "lib64", "usr"})
    if (std::filesystem::is_symlink(std::string("/") + path) ||
        std::filesystem::exists(std::string("/") + path))
      std::filesystem::create_directories(dir / path);
  // A root needs no more than the program it runs.
  std::filesystem::copy_file("/bin/busybox", dir / "bin/busybox");
  (void)dir.write("data", "from the host");
  Config config;
  config.set_rootfs_share(dir.path().string())
      .set_exec_argv({"/bin/busybox", "cat", "/data"})
      .set_capture_output(true);
  const Session session = finished(config);
  CHECK(session.exit_code() == 0);
  CHECK(text(must(session.output()).stdout_text()) == "from the host");
}

TEST_CASE("an argument vector whose program does not exist is a spawn error with ENOENT") {
  Config config;
  config.set_exec_argv({"no-such-program", "x"}).set_capture_output(true);
  const auto error = vmette_test::start_error(config);
  INFO(error.message());
  CHECK(error.code() == ErrorCode::kSpawn);
  CHECK(error.errno_value() == ENOENT);
  CHECK(error.stage() == "exec");
  CHECK(contains(error.message(), "no-such-program"));
}

TEST_CASE("a shell line whose program does not exist exits with 127") {
  const Session session = finished(capturing("no-such-program"));
  CHECK(session.end() == End::kExited);
  CHECK(session.exit_code() == 127);
  CHECK(contains(must(session.output()).stderr_text(), "no-such-program"));
}

TEST_CASE("the environment comes in order, byte for byte, the later of two wins") {
  const std::string bytes = "\xff = \"'\n\t";
  Config config;
  config.set_exec("cat /proc/$$/environ | tr '\\0' '\\1'").set_capture_output(true);
  config.add_env("VT_B", "1").add_env("VT_A", bytes).add_env("VT_B", "2").add_env("VT_C", "");
  const Session session = finished(config);
  const std::string out = text(must(session.output()).stdout_text());
  INFO(out);
  const auto at = [&](const std::string& variable) { return ('\1' + out).find('\1' + variable); };
  CHECK(contains(out, "VT_A=" + bytes + '\1'));
  CHECK(at("VT_B=1") == std::string::npos);
  CHECK(at("VT_B=2\1") != std::string::npos);
  CHECK(at("VT_C=\1") != std::string::npos);
  CHECK(at("VT_B=") < at("VT_A="));
  CHECK(at("VT_A=") < at("VT_C="));
  CHECK(at("PATH=/") != std::string::npos);
}

TEST_CASE("output is captured live, apart by stream and together in the order of arrival") {
  // Each step waits for the one before, so that there is one order only.
  Config config;
  config.set_capture_output(true);
  auto session = started(config);
  const auto process = must(session.exec(
      vmette::Exec("echo a; read x; echo b >&2; read x; echo c").set_stdin(vmette::Stdio::kPipe)));
  const auto shows = [&](const char* wanted) {
    return eventually([&] { return text(must(process.output()).combined()) == wanted; });
  };
  CHECK(shows("a\n"));
  CHECK(must(process.output()).end() == End::kNone);
  REQUIRE(write(process.fd(Stream::kStdin), "\n", 1) == 1);
  CHECK(shows("a\nb\n"));
  REQUIRE(write(process.fd(Stream::kStdin), "\n", 1) == 1);
  must(process.wait(vmette_test::kDeadline));
  const auto output = must(process.output());
  CHECK(text(output.combined()) == "a\nb\nc\n");
  CHECK(text(output.stdout_text()) == "a\nc\n");
  CHECK(text(output.stderr_text()) == "b\n");
  CHECK_FALSE(output.truncated());
}

TEST_CASE("captured output is cut at its limit and marked, and all of it is counted") {
  Config config = capturing("head -c 5000 /dev/zero | tr '\\0' 'x'; echo short >&2");
  config.set_capture_limit(1000);
  const Session session = finished(config);
  CHECK(session.exit_code() == 0);
  const auto output = must(session.output());
  CHECK(text(output.stdout_text()) == std::string(1000, 'x'));
  CHECK(output.truncated(Stream::kStdout));
  CHECK(output.total(Stream::kStdout) == 5000);
  CHECK_FALSE(output.truncated(Stream::kStderr));
  CHECK(text(output.stderr_text()) == "short\n");
  CHECK(output.truncated(Stream::kCombined));
  CHECK(output.total(Stream::kCombined) == 5006);
}

TEST_CASE("everything that a command wrote is captured although it exits at once") {
  const Session session = finished(capturing("seq 1 100000; seq 1 1000 >&2"));
  const auto output = must(session.output());
  CHECK(output.total(Stream::kStdout) == 588'895);
  CHECK(output.stdout_text().substr(output.stdout_text().size() - 7) == "100000\n");
  CHECK(output.total(Stream::kStderr) == 3'893);
}

TEST_CASE("without capture_output a session has no output to give") {
  Config config;
  config.set_exec("echo unheard");
  const Session session = finished(config);
  CHECK(session.exit_code() == 0);
  const auto output = session.output();
  REQUIRE_FALSE(output);
  CHECK(output.error().code() == ErrorCode::kState);
}

TEST_CASE("the timeline has every point of the boot in order") {
  const Session session = started(capturing("read x"));
  auto names = timeline_names(session);
  INFO(Catch::Detail::stringify(names));
  size_t from = 0;
  for (const std::string wanted : {"helper spawned", "hypervisor started", "kernel up",
                                   "agent hello", "root ready", "command started"}) {
    const auto found = std::find(names.begin() + static_cast<long>(from), names.end(), wanted);
    INFO(wanted);
    REQUIRE(found != names.end());
    from = static_cast<size_t>(found - names.begin()) + 1;
  }
  CHECK(names.front() == "helper spawned");
  CHECK(from == names.size());
  for (size_t i = 1; i < session.timeline_count(); ++i)
    CHECK(session.timeline(i - 1).at <= session.timeline(i).at);
}

TEST_CASE("the session's kernel command line is the one the guest booted with") {
  Config config = capturing("cat /proc/cmdline");
  config.set_cmdline("quiet vmette.test=\"a b\"");
  auto session = vmette_test::created(config);
  CHECK(session.cmdline().empty());
  must(session.launch());
  must(session.wait(vmette_test::kDeadline));
  const std::string line = text(session.cmdline());
  CHECK(text(must(session.output()).stdout_text()) == line + "\n");
  CHECK(line.rfind("quiet vmette.test=\"a b\" ", 0) == 0);
  CHECK(contains(line, "console="));
  CHECK(contains(line, "panic=-1"));
}

TEST_CASE("the machine has the name, the vCPUs and the memory that were asked for") {
  Config config = capturing(
      "hostname; nproc; awk '/MemTotal/ { print ($2 > 60000 && $2 < 131072) }' /proc/meminfo");
  config.set_hostname("Box-1").set_vcpus(2).set_mem_mib(128);
  const Session session = finished(config);
  CHECK(text(must(session.output()).stdout_text()) == "Box-1\n2\n1\n");
}

TEST_CASE("a machine loads the kernel modules that it needs and no other") {
  // A tuned kernel has all of them built in and lists none.
  const auto loaded = [](Config& config) {
    config.set_exec("while read -r name rest; do echo \"[$name]\"; done < /proc/modules")
        .set_share_transport(vmette::ShareTransport::k9p)
        .set_capture_output(true);
    return text(must(finished(config).output()).stdout_text());
  };
  Config plain;
  const std::string bare = loaded(plain);
  INFO(bare);
  const bool stock = contains(bare, "[virtio_console]");
  for (const char* name : {"[9p]", "[overlay]", "[ext4]", "[squashfs]", "[erofs]", "[fuse]",
                           "[virtiofs]", "[virtio_blk]", "[virtio_net]", "[vsock]", "[virtio_pci]"})
    CHECK_FALSE(contains(bare, name));
  Config with_root;
  with_root.set_rootfs_share("/");
  const std::string rooted = loaded(with_root);
  INFO(rooted);
  for (const char* name : {"[9p]", "[overlay]"}) CHECK(contains(rooted, name) == stock);
  for (const char* name : {"[ext4]", "[squashfs]", "[fuse]", "[virtio_blk]", "[virtio_net]"})
    CHECK_FALSE(contains(rooted, name));
}

TEST_CASE("the guest's clock does not live on timer interrupts") {
  // The kernel's watchdog would have condemned the counter within the first two seconds.
  const Session session =
      finished(capturing("until [ \"$(cut -d. -f1 /proc/uptime)\" -ge 2 ]; do :; done; "
                         "cat /sys/devices/system/clocksource/clocksource0/current_clocksource"));
  const std::string source = text(must(session.output()).stdout_text());
  CHECK(!source.empty());
  CHECK(!contains(source, "jiffies"));
}

TEST_CASE("a machine without a network has only the loopback device") {
  const Session session = finished(capturing("ls /sys/class/net"));
  CHECK(text(must(session.output()).stdout_text()) == "lo\n");
  CHECK(session.vsock_port() == 0);
}

TEST_CASE("a machine has the host's time and random numbers of its own") {
  auto first = finished(capturing("date +%s; head -c 16 /dev/urandom | od -An -tx1"));
  auto second = finished(capturing("date +%s; head -c 16 /dev/urandom | od -An -tx1"));
  const std::string one = text(must(first.output()).stdout_text());
  const std::string two = text(must(second.output()).stdout_text());
  const auto now = static_cast<long>(time(nullptr));
  CHECK(std::stol(one) <= now);
  CHECK(std::stol(one) > now - 600);
  CHECK(one.substr(one.find('\n')) != two.substr(two.find('\n')));
}

TEST_CASE("a command that a signal ends gives 128 and the signal's number") {
  const Session session = finished(capturing("kill -TERM $$"));
  CHECK(session.end() == End::kExited);
  CHECK(session.exit_code() == 143);
  CHECK(contains(session.end_message(), "signal 15"));
}

TEST_CASE("background processes do not hold the session up") {
  const Session session = finished(capturing("sleep 1000 & echo started"));
  CHECK(session.exit_code() == 0);
  CHECK(text(must(session.output()).stdout_text()) == "started\n");
}

TEST_CASE("a session's descriptors become readable when it is ready and when it has ended") {
  Config config = capturing("true");
  auto session = launched(config);
  CHECK(vmette_test::readable(session.ready_fd()));
  CHECK(vmette_test::readable(session.end_fd()));
  CHECK(session.state() == vmette::State::kEnded);
  CHECK(session.end() == End::kExited);
}
