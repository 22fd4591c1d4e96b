// What goes wrong and how a caller learns of it. Every machine here is gone at the test's end.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "session/machine.h"
#include "support/program.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::Config;
using vmette::End;
using vmette::Error;
using vmette::ErrorCode;
using vmette::Exec;
using vmette::Session;
using vmette::Stream;
using vmette_test::contains;
using vmette_test::created;
using vmette_test::eventually;
using vmette_test::kDeadline;
using vmette_test::launched;
using vmette_test::must;
using vmette_test::only_helper;
using vmette_test::only_hypervisor;
using vmette_test::own_helpers;
using vmette_test::ready;
using vmette_test::start_error;
using vmette_test::started;
using vmette_test::TempDir;
using vmette_test::text;
using vmette_test::Watched;

namespace {

// Refused before anything is started.
Error config_error(const Config& config) {
  const auto session = Session::create(config);
  REQUIRE_FALSE(session);
  return session.error();
}

// Meanwhile access() says what a user without root's rights may do.
class NotRoot {
 public:
  NotRoot() { become(65534); }
  ~NotRoot() { become(0); }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;

 private:
  // This thread's real user alone; the library's function would change every thread's.
  void become(uid_t real) const {
    if (was_root_) syscall(SYS_setresuid, real, -1, -1);
  }

  bool was_root_ = geteuid() == 0;
};

Error kernel_error(const std::string& kernel) {
  Config config;
  config.set_kernel(kernel);
  return start_error(config);
}

// The session has failed by itself, with a message and the machine gone.
void ended_by_error(Session& session, const char* message) {
  must(session.wait(kDeadline));
  INFO(session.end_message());
  CHECK(session.end() == End::kError);
  CHECK(session.exit_code() == 1);
  CHECK(contains(session.end_message(), message));
  CHECK(own_helpers().empty());
}

std::string console_of(const Session& session) {
  return text(must(session.console()).data());
}

// The guest's root writes over PID 1's code: it crashes as any faulty agent would.
constexpr const char* kCrashAgent =
    "set -- $(grep -m1 r-xp /proc/1/maps | tr '-' ' ');"
    "dd if=/dev/zero of=/proc/1/mem bs=4096 seek=$((0x$1 / 4096)) count=$(((0x$2 - 0x$1) / 4096))"
    " conv=notrunc";

}  // namespace

TEST_CASE("a kernel that is missing, a directory or unreadable is refused by its path") {
  const TempDir dir;
  Config config;
  config.set_kernel(dir / "gone");
  Error error = config_error(config);
  CHECK(error.code() == ErrorCode::kInvalidConfig);
  CHECK(contains(error.message(), dir / "gone"));
  Config directory;
  directory.set_kernel(dir.path().string());
  error = config_error(directory);
  CHECK(contains(error.message(), dir.path().string()));
  const std::string file = dir.write("secret", "x");
  REQUIRE(chmod(file.c_str(), 0) == 0);
  Config unreadable;
  unreadable.set_kernel(file);
  const NotRoot user;
  error = config_error(unreadable);
  CHECK(error.code() == ErrorCode::kInvalidConfig);
  CHECK(contains(error.message(), file));
  CHECK(contains(error.message(), "cannot be read"));
}

TEST_CASE("a file that is no kernel is refused by what it is") {
  const TempDir dir;
  const auto refused = [](const std::string& path, const char* is) {
    const Error error = kernel_error(path);
    INFO(error.message());
    CHECK(error.code() == ErrorCode::kInvalidConfig);
    CHECK(error.stage() == "create");
    CHECK(contains(error.message(), path));
    CHECK(contains(error.message(), is));
  };
  refused(dir.write("note", "not a kernel\n"), "text");
  refused(dir.write("none", ""), "empty");
  refused(dir.write("archive", "070701000000"), "cpio");
  refused("/proc/self/exe", "PVH");
  refused(dir.write("cut", std::string("\x7f"
                                       "ELF\x02\x01\x01",
                                       7)),
          "unknown");
}

TEST_CASE("a rootfs that does not exist is refused by its path") {
  Config config;
  config.set_rootfs_share("/no/such/root");
  const Error error = config_error(config);
  CHECK(error.code() == ErrorCode::kInvalidConfig);
  CHECK(contains(error.message(), "rootfs"));
  CHECK(contains(error.message(), "/no/such/root"));
}

TEST_CASE("a missing QEMU is an error that names the package") {
  // In a program of its own: the variables are the whole process's.
  const auto with = [](std::pair<std::string, std::string> variable) {
    vmette_test::ProgramOptions options;
    options.env = {std::move(variable)};
    return vmette_test::run_program({VMETTE_TEST_RUN_LINE, "true"}, {}, options);
  };
  for (const auto& ending :
       {with({"VMETTE_QEMU", "/no/such/qemu"}), with({"PATH", "/no/such/folder"})}) {
    INFO(ending.err);
    CHECK(ending.code == 1);
    CHECK(contains(ending.err, "NOT_FOUND"));
    CHECK(contains(ending.err, "qemu-system-x86"));
    CHECK(contains(ending.err, "install"));
  }
}

TEST_CASE("a helper that is no helper is an error and not a hang") {
  Config config;
  config.set_helper("/bin/true");
  const Error error = start_error(config);
  INFO(error.message());
  CHECK(error.code() == ErrorCode::kStartFailed);
  CHECK(contains(error.message(), "helper"));
  Config missing;
  missing.set_helper("/no/such/helper");
  CHECK(start_error(missing).code() == ErrorCode::kNotFound);
}

TEST_CASE("a kernel without its agent panics and the error has stage, time and console") {
  Config config;
  config.set_cmdline("rdinit=/no/such/init root=/dev/nothing");
  const Error error = start_error(config);
  INFO(error.message());
  CHECK(error.code() == ErrorCode::kStartFailed);
  CHECK(error.stage() == "kernel");
  CHECK(error.elapsed().count() > 0);
  CHECK(contains(error.message(), "panic"));
  CHECK(contains(error.console(), "Kernel panic"));
}

TEST_CASE("an initramfs that is none panics the kernel and the error says so") {
  const TempDir dir;
  Config config;
  config.set_initramfs(dir.write("initramfs", std::string(4096, 'x')));
  const Error error = start_error(config);
  INFO(error.message());
  CHECK(error.code() == ErrorCode::kStartFailed);
  CHECK(contains(error.console(), "panic"));
}

TEST_CASE("a machine that is not ready in time says in which stage it was") {
  Config config;
  config.set_ready_timeout_ms(1);
  const Error error = start_error(config);
  INFO(error.message());
  CHECK(error.code() == ErrorCode::kStartFailed);
  CHECK(contains(error.message(), "1 ms"));
  CHECK(contains(error.message(), "ready_timeout_ms"));
  CHECK_FALSE(error.stage().empty());
}

TEST_CASE("a kernel without room to print is told from a slow one") {
  Config config;
  config.set_mem_mib(64).set_ready_timeout_ms(8000);
  const Error error = start_error(config);
  INFO(error.message());
  CHECK(error.code() == ErrorCode::kStartFailed);
  CHECK(error.stage() == "kernel");
  CHECK(contains(error.message(), "raise mem_mib: 64"));
}

TEST_CASE("a kernel panic while a session is live ends it and the console says why") {
  auto session = ready();
  const auto process = must(session.exec(Exec("echo c > /proc/sysrq-trigger; sleep 1000")));
  ended_by_error(session, "panic");
  CHECK(contains(console_of(session), "sysrq triggered crash"));
  const auto lost = process.wait(kDeadline);
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code() == ErrorCode::kSessionEnded);
  CHECK(contains(lost.error().message(), "panic"));
}

TEST_CASE("an agent that crashes ends the session and the console says why") {
  auto session = ready();
  const auto process = must(session.exec(Exec(kCrashAgent)));
  ended_by_error(session, "panic");
  CHECK(contains(console_of(session), "Attempted to kill init"));
}

TEST_CASE("a guest that powers itself off ends the session") {
  auto session = ready();
  const auto process = must(session.exec(Exec("echo o > /proc/sysrq-trigger; sleep 1000")));
  must(session.wait(kDeadline));
  CHECK(session.end() == End::kStopped);
  CHECK(contains(session.end_message(), "powered itself off"));

  auto with_command = started(vmette_test::capturing("echo o > /proc/sysrq-trigger; sleep 1000"));
  ended_by_error(with_command, "powered itself off");
}

TEST_CASE("a guest that prints for ever with nobody reading costs bounded memory") {
  auto session = ready();
  const auto process =
      must(session.exec(Exec("yes abcdefghijklmnopqrstuvwxyz").set_stdout(vmette::Stdio::kPipe)));
  must(process.wait_started(kDeadline));
  const int fd = process.fd(Stream::kStdout);
  const int capacity = fcntl(fd, F_GETPIPE_SZ);
  REQUIRE(capacity > 0);
  const uint64_t before = vmette_test::rss_kib(getpid());
  int waiting = 0;
  // The pipe is full when the next write finds no whole page free.
  REQUIRE(eventually([&] { return ioctl(fd, FIONREAD, &waiting) == 0 && waiting > capacity / 2; }));
  // Only this stream is held up.
  CHECK(vmette_test::run_in(session, "echo still here").out == "still here\n");
  CHECK(vmette_test::rss_kib(getpid()) < before + 4096);
  CHECK(waiting <= capacity);
  must(session.stop(0));
  CHECK(session.end() == End::kStopped);
}

TEST_CASE("a guest that prints for ever into a capture costs the capture's limit") {
  Config config = vmette_test::capturing("yes abcdefghijklmnopqrstuvwxyz");
  config.set_capture_limit(100'000);
  auto session = started(config);
  const uint64_t before = vmette_test::rss_kib(getpid());
  REQUIRE(
      eventually([&] { return must(session.output()).total(Stream::kStdout) > 64 * 1024 * 1024; }));
  CHECK(vmette_test::rss_kib(getpid()) < before + 4096);
  CHECK(must(session.output()).stdout_text().size() == 100'000);
  must(session.stop(0));
  CHECK(session.end() == End::kStopped);
}

TEST_CASE("a guest that floods its console costs bounded memory and can be stopped") {
  auto session = ready();
  const Watched helper = only_helper();
  const auto process = must(session.exec(Exec("yes console-flood > /dev/console")));
  must(process.wait_started(kDeadline));
  REQUIRE(eventually([&] { return console_of(session).size() == 64 * 1024; }));
  const uint64_t own = vmette_test::rss_kib(getpid());
  const uint64_t helpers = vmette_test::rss_kib(helper.pid());
  CHECK(vmette_test::run_in(session, "echo still here").out == "still here\n");
  CHECK(console_of(session).size() == 64 * 1024);
  CHECK(vmette_test::rss_kib(getpid()) < own + 4096);
  CHECK(vmette_test::rss_kib(helper.pid()) < helpers + 1024);
  must(session.stop(0));
  CHECK(session.end() == End::kStopped);
}

TEST_CASE("a command that ignores SIGTERM is killed when its grace is over") {
  auto session = ready();
  const auto process = must(session.exec(
      Exec("trap '' TERM; echo deaf; while :; do sleep 1; done").set_stdout(vmette::Stdio::kPipe)));
  REQUIRE(vmette_test::readable(process.fd(Stream::kStdout)));
  must(session.stop(200));
  CHECK(session.end() == End::kStopped);
  CHECK(session.exit_code() == 0);
  CHECK(own_helpers().empty());
}

TEST_CASE("a command that reacts to SIGTERM gets the time to end") {
  auto session = ready();
  const auto process = must(
      session.exec(Exec("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
                       .set_stdout(vmette::Stdio::kPipe)));
  const int fd = process.fd(Stream::kStdout);
  std::string said(16, '\0');
  REQUIRE(read(fd, said.data(), said.size()) == 6);
  must(session.stop(60'000));
  CHECK(session.end() == End::kStopped);
  said.resize(16);
  const ssize_t got = read(fd, said.data(), said.size());
  CHECK(said.substr(0, got > 0 ? static_cast<size_t>(got) : 0) == "bye\n");
}

TEST_CASE("a machine that does not react to a stop is cut off") {
  auto session = ready();
  must(session.pause());
  must(session.stop(0));
  CHECK(session.end() == End::kStopped);
  CHECK(own_helpers().empty());
}

TEST_CASE("a guest that is dead and never powers off is cut off") {
  Config config;
  // Without a reboot the panicked kernel spins for ever, its machine alive.
  config.set_cmdline("panic=0");
  auto session = started(config);
  const Watched helper = only_helper();
  const Watched hypervisor = only_hypervisor(helper);
  const auto process = must(session.exec(Exec("echo c > /proc/sysrq-trigger; sleep 1000")));
  REQUIRE(eventually([&] { return contains(console_of(session), "end Kernel panic"); }));
  CHECK(session.end() == End::kNone);
  must(session.stop(0));
  CHECK(session.end() == End::kStopped);
  CHECK(helper.wait_end(kDeadline));
  CHECK(hypervisor.wait_end(kDeadline));
}

TEST_CASE("a timeout ends the session with TIMED_OUT and 124, whatever the guest does") {
  Config config = vmette_test::capturing("trap '' TERM; echo begun; while :; do sleep 1; done");
  config.set_timeout_seconds(20);
  const Session session = vmette_test::finished(config);
  CHECK(session.end() == End::kTimedOut);
  CHECK(session.exit_code() == 124);
  CHECK(contains(session.end_message(), "20 s"));
  CHECK(text(must(session.output()).stdout_text()) == "begun\n");
}

TEST_CASE("the timeout counts from the start, so a boot can run into it") {
  Config config = vmette_test::capturing("sleep 1000");
  // The kernel boots and finds no init that would ever end.
  config.set_timeout_seconds(1).set_cmdline("rdinit=/bin/busybox -- sleep 1000");
  auto session = launched(config);
  must(session.wait(kDeadline));
  CHECK(session.end() == End::kTimedOut);
  CHECK(session.exit_code() == 124);
  const auto outcome = session.wait_ready(std::chrono::milliseconds(0));
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == ErrorCode::kSessionEnded);
}

TEST_CASE("a killed helper ends its hypervisor and the session") {
  auto session = ready();
  const Watched helper = only_helper();
  const Watched hypervisor = only_hypervisor(helper);
  helper.signal(SIGKILL);
  ended_by_error(session, "helper");
  CHECK(hypervisor.wait_end(kDeadline));
}

TEST_CASE("a helper that is killed during the boot is a failed start") {
  auto session = launched(Config());
  const Watched helper = only_helper();
  const Watched hypervisor = only_hypervisor(helper);
  helper.signal(SIGKILL);
  const auto outcome = session.wait_ready(kDeadline);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == ErrorCode::kStartFailed);
  CHECK(hypervisor.wait_end(kDeadline));
}

TEST_CASE("a killed hypervisor ends the session and says so") {
  auto session = ready();
  const Watched hypervisor = only_hypervisor(only_helper());
  const auto process = must(session.exec(Exec("sleep 1000")));
  must(process.wait_started(kDeadline));
  hypervisor.signal(SIGKILL);
  ended_by_error(session, "killed");
  CHECK_FALSE(process.wait(kDeadline));
}

TEST_CASE("a helper that hangs does not keep the session from ending") {
  auto session = ready();
  const Watched helper = only_helper();
  const Watched hypervisor = only_hypervisor(helper);
  helper.signal(SIGSTOP);
  must(session.kill());
  CHECK(session.end() == End::kStopped);
  CHECK(helper.wait_end(kDeadline));
  CHECK(hypervisor.wait_end(kDeadline));
}

TEST_CASE("a hypervisor that hangs does not keep the session from ending") {
  auto session = ready();
  const Watched hypervisor = only_hypervisor(only_helper());
  hypervisor.signal(SIGSTOP);
  must(session.stop(0));
  CHECK(session.end() == End::kStopped);
  CHECK(hypervisor.wait_end(kDeadline));
}
