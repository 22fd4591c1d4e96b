#include <signal.h>

#include <cstring>

#include "cli/cli.h"
#include "support/catch.h"

using vmette_test::cli;
using vmette_test::Ending;
using vmette_test::Program;
using vmette_test::ProgramOptions;

namespace {

ProgramOptions on_terminal() {
  ProgramOptions options;
  options.terminal = true;
  options.rows = 31;
  options.columns = 97;
  return options;
}

bool same(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

bool is_raw(const termios& settings) {
  return (settings.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

}  // namespace

TEST_CASE("the tool alone gives a shell on a terminal of the caller's size") {
  Program program(cli({}), on_terminal());
  const termios before = program.terminal_settings();
  REQUIRE(program.wait_for("# "));
  CHECK(is_raw(program.terminal_settings()));

  // Neither line stands in its own echo.
  program.write("tty; stty size; echo re\"ad\"y\n");
  REQUIRE(program.wait_for("/dev/pts/"));
  REQUIRE(program.wait_for("31 97"));
  REQUIRE(program.wait_for("ready"));

  program.resize(40, 120);
  program.write("while [ \"$(stty size)\" != '40 120' ]; do :; done; echo re\"size\"d\n");
  CHECK(program.wait_for("resized"));

  program.write("exit 5\n");
  const Ending ending = program.wait();
  INFO(ending.out);
  CHECK(ending.code == 5);
  CHECK(same(program.terminal_settings(), before));
}

TEST_CASE("Ctrl-C on the terminal reaches the guest's command and leaves the shell alive") {
  Program program(cli({"--quiet"}), on_terminal());
  REQUIRE(program.wait_for("# "));
  // The child that speaks is in the foreground already; the shell itself would be too early.
  program.write("sh -c 'echo st\"art\"; exec sleep 600'\n");
  REQUIRE(program.wait_for("start"));
  program.write("\x03");
  REQUIRE(program.wait_for("# "));
  program.write("echo al\"ive\"; exit 0\n");
  CHECK(program.wait_for("alive"));
  const Ending ending = program.wait();
  INFO(ending.out);
  CHECK(ending.code == 0);
}

TEST_CASE("a command on a terminal gets one and its exit code arrives") {
  const Ending ending = vmette_test::run_program(
      cli({"--quiet", "--exec", "tty >/dev/null && echo yes; exit 9"}), {}, on_terminal());
  CHECK(ending.out == "yes\r\n");
  CHECK(ending.code == 9);
}

TEST_CASE("a signal that ends the tool leaves the terminal as it was") {
  for (const int number : {SIGTERM, SIGHUP}) {
    Program program(cli({"--quiet"}), on_terminal());
    const termios before = program.terminal_settings();
    REQUIRE(program.wait_for("# "));
    CHECK(is_raw(program.terminal_settings()));
    program.signal(number);
    const Ending ending = program.wait();
    CHECK(ending.code == 128 + number);
    CHECK(same(program.terminal_settings(), before));
  }
}

TEST_CASE("a start that fails leaves the terminal as it was") {
  Program program(cli({"--quiet", "--initramfs", "/etc/passwd"}), on_terminal());
  const termios before = program.terminal_settings();
  const Ending ending = program.wait();
  CHECK(ending.code == 1);
  CHECK(same(program.terminal_settings(), before));
}
