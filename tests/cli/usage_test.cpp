#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "cli/cli.h"
#include "support/catch.h"

using vmette_test::count_lines;
using vmette_test::Ending;
using vmette_test::run_cli;

namespace {

using Words = std::vector<std::string>;

std::string join(const Words& words) {
  std::string line = "vmette";
  for (const std::string& word : words) line += " '" + word + "'";
  return line;
}

// A wrong command line: exit code 2, nothing on stdout, one line on stderr that says what is wrong
// and what to do.
void check_usage_error(const Words& words, const Words& says) {
  const Ending ending = run_cli(words);
  INFO(join(words) << "\n" << ending.err);
  CHECK(ending.code == 2);
  CHECK(ending.out.empty());
  CHECK(count_lines(ending.err) == 1);
  CHECK(ending.err.rfind("vmette: error: ", 0) == 0);
  for (const std::string& text : says) CHECK(ending.err.find(text) != std::string::npos);
}

const Words kValueFlags = {"--kernel",          "--initramfs",
                           "--rootfs",          "--share",
                           "--share-ro",        "--share-target",
                           "--share-transport", "--disk",
                           "--disk-ro",         "--scratch-dir",
                           "--scratch",         "--vsock-port",
                           "--timeout",         "--vcpus",
                           "--mem-mib",         "--build-snapshot",
                           "--resume-snapshot", "--guest-vsock-port",
                           "--accel",           "--ready-timeout",
                           "--cache-dir",       "--ca-certs"};
const Words kTextFlags = {"--exec", "--env", "--cmdline"};
const Words kNumberFlags = {"--vsock-port", "--timeout",          "--vcpus",
                            "--mem-mib",    "--guest-vsock-port", "--ready-timeout"};

}  // namespace

TEST_CASE("an option at the end of the line without its value is a usage error") {
  for (const std::string& flag : kValueFlags) {
    check_usage_error({flag}, {flag + " expects a value", "write " + flag});
  }
  for (const std::string& flag : kTextFlags) {
    check_usage_error({flag}, {flag + " expects a value", "write " + flag});
  }
}

TEST_CASE("an option where a value belongs is a usage error that names both") {
  for (const std::string& flag : kValueFlags) {
    check_usage_error({flag, "--quiet"}, {flag + " expects a value", "'--quiet'"});
    check_usage_error({flag, "-q"}, {flag + " expects a value", "'-q'"});
  }
  // Text may start with a dash, but an option of the tool is a forgotten value here too.
  for (const std::string& flag : kTextFlags) {
    for (const std::string word : {"--quiet", "--rootfs", "--help", "-V", "--"}) {
      check_usage_error({flag, word, "true"}, {flag + " expects a value", "'" + word + "'"});
    }
  }
}

TEST_CASE("a word where a number belongs is a usage error that quotes it") {
  for (const std::string& flag : kNumberFlags) {
    for (const std::string word : {"two", "2x", "1.5", "", " 1", "0x10"}) {
      check_usage_error({flag, word}, {flag + " expects a number", "'" + word + "'"});
    }
  }
}

TEST_CASE("a number out of range is a usage error") {
  check_usage_error({"--vcpus", "-1"}, {"expects a number from 0 to 4294967295"});
  check_usage_error({"--vcpus", "4294967296"}, {"expects a number from 0 to 4294967295"});
  check_usage_error({"--timeout", "-5"}, {"expects a number"});
  check_usage_error({"--mem-mib", "18446744073709551616"}, {"expects a number"});
  check_usage_error({"--vsock-port", "4294967296"}, {"expects a number from -1 to 4294967295"});
  check_usage_error({"--vsock-port", "-2"}, {"expects a number from -1 to 4294967295"});
  check_usage_error({"--ready-timeout", "4294968"}, {"expects a number up to 4294967"});
}

TEST_CASE("a scratch size that is zero, too large or no size is a usage error") {
  for (const std::string size :
       {"0", "0G", "G", "8T", "-1", "8GG", "1.5G", "99999999999999999999", "18014398509481984G"}) {
    check_usage_error({"--scratch", size}, {"--scratch expects a size", "8G", "'" + size + "'"});
  }
}

TEST_CASE("a pair without its sign, key or path is a usage error") {
  check_usage_error({"--share", "src"}, {"--share expects TAG=PATH", "'src'"});
  check_usage_error({"--share", "=/src"}, {"--share expects TAG=PATH"});
  check_usage_error({"--share", "src="}, {"--share expects TAG=PATH"});
  check_usage_error({"--share-ro", "src"}, {"--share-ro expects TAG=PATH", "'src'"});
  check_usage_error({"--share-target", "src=a"}, {"--share-target expects an absolute path"});
  check_usage_error({"--share-target", "src=/a"}, {"'src'", "add --share src=PATH"});
  check_usage_error({"--share", "a=/", "--share-target", "a=/b", "--share-target", "a=/c"},
                    {"'a' twice"});
  check_usage_error({"--share-transport", "nfs"}, {"auto, virtiofs or 9p", "'nfs'"});
  check_usage_error({"--env", "HOME"}, {"--env expects KEY=VALUE"});
  check_usage_error({"--env", "=x"}, {"--env expects KEY=VALUE"});
  check_usage_error({"--env", "1A=x"}, {"[A-Za-z_][A-Za-z0-9_]*"});
  check_usage_error({"--env", "A-B=x"}, {"[A-Za-z_][A-Za-z0-9_]*"});
  check_usage_error({"--env", "A\xc3\xa9=x"}, {"[A-Za-z_][A-Za-z0-9_]*"});
}

TEST_CASE("options that do not go together are a usage error with a way out") {
  check_usage_error({"--switch-root", "--rootfs-ro", "--rootfs", "/", "--exec", "true"},
                    {"--switch-root", "--rootfs-ro", "drop"});
  check_usage_error({"--switch-root", "--rootfs-ro", "--rootfs", "/", "--", "true"},
                    {"--switch-root", "--rootfs-ro", "drop"});
  check_usage_error({"--scratch", "1G", "--rootfs-ro", "--rootfs", "/"}, {"--scratch", "drop"});
  check_usage_error({"--scratch-dir", "/tmp"}, {"--scratch-dir", "add --scratch SIZE"});
  check_usage_error({"--build-snapshot", "a", "--resume-snapshot", "b", "--exec", "true"},
                    {"--build-snapshot", "--resume-snapshot"});
  check_usage_error({"--resume-snapshot", "a"}, {"needs a command", "--exec CMD"});
  check_usage_error({"--rootfs-ro"}, {"needs a root", "--rootfs SPEC"});
  check_usage_error({"--exec", "true", "--", "true"}, {"--exec", "--", "keep one"});
}

TEST_CASE("words that are no option are a usage error with a remedy") {
  check_usage_error({"--frobnicate"}, {"unknown option '--frobnicate'", "vmette --help"});
  check_usage_error({"-q"}, {"unknown option '-q'"});
  check_usage_error({"--vcpus=2"}, {"unknown option", "--vcpus 2"});
  check_usage_error({"ls", "-l"}, {"unexpected argument 'ls'", "vmette -- ls"});
  check_usage_error({"--quiet", "version"}, {"unexpected argument 'version'"});
  check_usage_error({"--"}, {"-- expects a command"});
  check_usage_error({"providers", "dir"}, {"providers takes no arguments", "'dir'"});
  check_usage_error({"quickstart", "--quiet"}, {"quickstart takes no arguments"});
}

TEST_CASE("control characters of a wrong word do not reach the terminal") {
  const Ending ending = run_cli({"\x1b]0;title\x07", "x"});
  CHECK(ending.code == 2);
  CHECK(ending.err.find('\x1b') == std::string::npos);
  CHECK(ending.err.find("\\x1b]0;title\\x07") != std::string::npos);
}

TEST_CASE("help goes to stdout, names every option and ends well") {
  for (const std::string flag : {"-h", "--help"}) {
    const Ending ending = run_cli({flag});
    CHECK(ending.code == 0);
    CHECK(ending.err.empty());
    for (const Words& flags : {kValueFlags, kTextFlags,
                               Words{"--rootfs-ro", "--net", "--switch-root", "--quiet",
                                     "--offline", "quickstart", "providers", "--version"}}) {
      for (const std::string& name : flags) {
        INFO(name);
        CHECK(ending.out.find(name) != std::string::npos);
      }
    }
  }
  CHECK(run_cli({"--quiet", "--help"}).code == 0);
}

TEST_CASE("the version is printed for all three spellings") {
  for (const std::string word : {"-V", "--version", "version"}) {
    const Ending ending = run_cli({word});
    CHECK(ending.code == 0);
    CHECK(ending.out == "vmette " VMETTE_VERSION "\n");
    CHECK(ending.err.empty());
  }
}

TEST_CASE("providers lists all of them with what they claim, in the order they are asked") {
  const Ending ending = run_cli({"providers"});
  CHECK(ending.code == 0);
  CHECK(ending.err.empty());
  INFO(ending.out);
  std::size_t at = 0;
  for (const std::string line :
       {"\n  dir       /PATH, ./PATH, ../PATH, ~/PATH", "\n  squashfs  squashfs+file:///PATH\n",
        "\n  erofs     erofs+file:///PATH\n", "\n  ext4      ext4+file:///PATH\n"}) {
    at = ending.out.find(line, at);
    INFO(line);
    REQUIRE(at != std::string::npos);
    at += line.size() - 1;
  }
}

TEST_CASE("every option of the tool is described in docs/cli.md") {
  std::ifstream file(VMETTE_TEST_SOURCE "/docs/cli.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::string help = run_cli({"--help"}).out;
  std::size_t options = 0;
  for (std::size_t at = help.find("\n  --"); at != std::string::npos;
       at = help.find("\n  --", at)) {
    at += 3;
    const std::string name = help.substr(at, help.find(' ', at) - at);
    INFO(name);
    CHECK(page.find("`" + name) != std::string::npos);
    ++options;
  }
  CHECK(options >= 23);
}

TEST_CASE("a root that no provider claims ends with one line that lists what would be claimed") {
  for (const std::string spec : {"alpine:3.20", "oci://example.com/image:1", "tar+file:///x.tar",
                                 "squashfs+https://example.com/x", "relative/path", ""}) {
    const Ending ending = run_cli({"--rootfs", spec, "--exec", "true"});
    INFO(ending.err);
    CHECK(ending.code == 1);
    CHECK(ending.out.empty());
    CHECK(count_lines(ending.err) == 1);
    CHECK(ending.err.find("no provider claims '" + spec + "'") != std::string::npos);
    for (const char* claim : {"/PATH, ./PATH, ../PATH, ~/PATH", "squashfs+file:///PATH",
                              "erofs+file:///PATH", "ext4+file:///PATH"})
      CHECK(ending.err.find(claim) != std::string::npos);
  }
}

TEST_CASE("an image that cannot be a root ends with one line that names it") {
  const std::string spec = "squashfs+file://" VMETTE_TEST_SOURCE "/LICENSE";
  const Ending ending = run_cli({"--rootfs", spec, "--exec", "true"});
  INFO(ending.err);
  CHECK(ending.code == 1);
  CHECK(ending.out.empty());
  CHECK(count_lines(ending.err) == 1);
  CHECK(ending.err.find("/LICENSE' holds no file system") != std::string::npos);
  const Ending missing = run_cli({"--rootfs", "erofs+file:///no/such.img", "--exec", "true"});
  CHECK(missing.code == 1);
  CHECK(count_lines(missing.err) == 1);
  CHECK(missing.err.find("/no/such.img") != std::string::npos);
}

TEST_CASE("an option whose feature comes later ends with one line and exit code 1") {
  const std::vector<std::pair<Words, std::string>> cases = {
      {{"--net"}, "net"},
      {{"--vsock-port", "9000"}, "vsock_port"},
      {{"--guest-vsock-port", "9000"}, "guest_vsock_port"},
  };
  for (const auto& [words, field] : cases) {
    Words line = words;
    line.insert(line.end(), {"--exec", "true"});
    const Ending ending = run_cli(line);
    INFO(join(line) << "\n" << ending.err);
    CHECK(ending.code == 1);
    CHECK(ending.out.empty());
    CHECK(count_lines(ending.err) == 1);
    CHECK(ending.err.rfind("vmette: error: " + field, 0) == 0);
  }
}

TEST_CASE("a root directory that does not exist ends with one line that names it") {
  const Ending ending = run_cli({"--rootfs", "/no/such/root", "--exec", "true"});
  INFO(ending.err);
  CHECK(ending.code == 1);
  CHECK(count_lines(ending.err) == 1);
  CHECK(ending.err.find("/no/such/root") != std::string::npos);

  vmette_test::ProgramOptions options;
  options.env = {{"HOME", "/no/such/home"}};
  const Ending home = run_cli({"--rootfs", "~/root", "--exec", "true"}, {}, options);
  CHECK(home.code == 1);
  CHECK(home.err.find("/no/such/home/root") != std::string::npos);
}
