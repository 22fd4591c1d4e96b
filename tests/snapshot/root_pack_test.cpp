#include "core/snapshot/root_pack.h"

#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/snapshot/tree_scan.h"
#include "support/catch.h"
#include "support/environment.h"
#include "support/footprint.h"
#include "support/images.h"
#include "support/mounted.h"
#include "support/processes.h"
#include "support/program.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::core::Code;
using vmette::core::Config;
using vmette::core::packed_root;
using vmette::core::scan_tree;
using vmette_test::contains;
using vmette_test::Environment;
using vmette_test::Mounted;
using vmette_test::TempDir;

namespace fs = std::filesystem;

namespace {

constexpr const char* kTool = "VMETTE_MKSQUASHFS";

Config config_with(const std::string& cache) {
  Config config;
  config.cache_dir = cache;
  config.helper = VMETTE_TEST_HELPER;
  return config;
}

std::string packed(const Config& config, const std::string& directory) {
  const auto image = packed_root(config, directory);
  if (!image) FAIL(image.error().message);
  return image.value();
}

vmette::core::Error refusal(const Config& config, const std::string& directory) {
  const auto image = packed_root(config, directory);
  REQUIRE_FALSE(image);
  return image.error();
}

std::string text_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// "drwxr-xr-x 0/0 ... squashfs-root/sub" and so on.
std::string listing(const std::string& image) {
  return vmette_test::run_program({"unsquashfs", "-lln", image}).out;
}

std::string content(const std::string& image, const std::string& name) {
  return vmette_test::run_program({"unsquashfs", "-cat", image, name}).out;
}

// A stand-in for mksquashfs that runs these lines; `call` in them runs the real one.
std::string tool_in(const TempDir& dir, const std::string& lines) {
  std::string text = "#!/bin/sh\ncall() { mksquashfs \"$@\"; }\n" + lines;
  std::string path = dir.write("tool", text);
  REQUIRE(chmod(path.c_str(), 0755) == 0);
  return path;
}

size_t files_in(const std::string& directory) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

bool as_root() {
  if (geteuid() == 0) return true;
  WARN("skipped: mounting and changing the root directory need root");
  return false;
}

}  // namespace

TEST_CASE("a directory is packed as it is, and once") {
  const TempDir dir;
  (void)dir.write("root/etc/motd", "hello");
  (void)dir.write("root/.hidden", "h");
  fs::create_symlink("etc/motd", dir / "root/link");
  REQUIRE(chmod((dir / "root/etc/motd").c_str(), 04751) == 0);
  std::set<std::string> steps;
  Config config = config_with(dir / "cache");
  config.progress = [&](const std::string& step, uint64_t done, uint64_t total) {
    steps.insert(step.substr(0, 4));
    CHECK((total == 0 || done <= total));
    return true;
  };
  const std::string image = packed(config, dir / "root");
  CHECK(contains(image, dir / "cache/packed/"));
  CHECK(content(image, "etc/motd") == "hello");
  const std::string list = listing(image);
  INFO(list);
  CHECK(contains(list, "squashfs-root/.hidden"));
  CHECK(contains(list, "squashfs-root/link -> etc/motd"));
  CHECK(contains(list, "-rwsr-x--x"));
  CHECK(steps.contains("pack"));

  steps.clear();
  struct stat before{};
  struct stat after{};
  REQUIRE(stat(image.c_str(), &before) == 0);
  CHECK(packed(config, dir / "root") == image);
  REQUIRE(stat(image.c_str(), &after) == 0);
  CHECK(before.st_ino == after.st_ino);
  CHECK_FALSE(steps.contains("pack"));
  CHECK(files_in(dir / "cache/packed") == 1);
}

TEST_CASE("the same directory gives the same image in another cache") {
  const TempDir dir;
  for (int i = 0; i < 50; ++i) (void)dir.write("root/" + std::to_string(i), std::string(i, 'x'));
  const std::string one = packed(config_with(dir / "one"), dir / "root");
  const std::string two = packed(config_with(dir / "two"), dir / "root");
  CHECK(text_of(one) == text_of(two));
}

TEST_CASE("every change of a directory gives another image") {
  const TempDir dir;
  const std::string file = dir.write("root/sub/file", "one");
  const Config config = config_with(dir / "cache");
  std::set<std::string> images = {packed(config, dir / "root")};
  const auto changed = [&] { return images.insert(packed(config, dir / "root")).second; };
  const auto time = fs::last_write_time(file);
  std::ofstream(file) << "two";
  fs::last_write_time(file, time);  // only its change time tells
  CHECK(changed());
  CHECK(content(packed(config, dir / "root"), "sub/file") == "two");
  REQUIRE(chmod(file.c_str(), 0600) == 0);
  CHECK(changed());
  fs::rename(file, dir / "root/sub/renamed");
  CHECK(changed());
  fs::create_symlink("a", dir / "root/link");
  CHECK(changed());
  fs::remove(dir / "root/link");
  fs::create_symlink("b", dir / "root/link");
  CHECK(changed());
  fs::create_directory(dir / "root/empty");
  CHECK(changed());
  CHECK_FALSE(changed());
}

TEST_CASE("an image of a directory as it was goes when nobody has used it for long") {
  const TempDir dir;
  const Config config = config_with(dir / "cache");
  (void)dir.write("root/file", "one");
  const std::string old = packed(config, dir / "root");
  (void)dir.write("root/file", "two and more");
  const std::string young = packed(config, dir / "root");
  CHECK(fs::exists(old));
  const std::array<timeval, 2> long_ago = {{{1, 0}, {1, 0}}};
  REQUIRE(utimes(old.c_str(), long_ago.data()) == 0);
  (void)dir.write("root/file", "three and more again");
  (void)packed(config, dir / "root");
  CHECK_FALSE(fs::exists(old));
  CHECK(fs::exists(young));
}

TEST_CASE("names are bytes, and a link to a directory is that directory") {
  const TempDir dir;
  const std::string odd = dir.path().string() + "/r\xff[*]? \n'x";
  fs::create_directory(odd);
  std::ofstream(odd + "/file") << "x";
  fs::create_directory_symlink(odd, dir / "link");
  const Config config = config_with(dir / "cache");
  const std::string image = packed(config, odd);
  CHECK(content(image, "file") == "x");
  CHECK(packed(config, dir / "link") == image);
}

TEST_CASE("the cache in a packed directory is empty in the image") {
  const TempDir dir;
  (void)dir.write("file", "x");
  (void)dir.write("a cache [1]/other/secret", "x");
  (void)dir.write("a cache [1]/.dotted", "x");
  (void)dir.write("a cache 1/near", "x");
  const Config config = config_with(dir / "a cache [1]");
  const std::string list = listing(packed(config, dir.path()));
  INFO(list);
  CHECK(contains(list, "squashfs-root/a cache [1]\n"));
  CHECK_FALSE(contains(list, "a cache [1]/"));
  CHECK(contains(list, "squashfs-root/a cache 1/near"));
  (void)packed(config, dir.path());
  CHECK(files_in(dir / "a cache [1]/packed") == 1);
  // The cache itself is a directory like any other, but for the images.
  CHECK(contains(listing(packed(config, dir / "a cache [1]")), "secret"));
}

TEST_CASE("what is mounted below is an empty directory") {
  if (!as_root()) return;
  const TempDir dir;
  (void)dir.write("root/file", "x");
  const Mounted below(dir / "root/deep/mnt*", "size=1m");
  (void)dir.write("root/deep/mnt*/secret", "x");
  (void)dir.write("root/deep/mnt*/.secret", "x");
  (void)dir.write("root/deep/mntx/near", "x");
  const std::string list = listing(packed(config_with(dir / "cache"), dir / "root"));
  INFO(list);
  CHECK(contains(list, "squashfs-root/deep/mnt*\n"));
  CHECK_FALSE(contains(list, "secret"));
  CHECK(contains(list, "squashfs-root/deep/mntx/near"));
}

TEST_CASE("of / what belongs to the running system is left out") {
  if (!as_root()) return;
  const TempDir dir;
  for (const char* name : {"etc/x", "proc/x", "sys/x", "dev/x", "run/x", "tmp/x", "var/tmp/x",
                           "var/lib/x", "home/tmp/x"})
    (void)dir.write(std::string("root/") + name, "");
  const auto plain = scan_tree(dir / "root", {});
  REQUIRE(plain);
  CHECK(plain.value().empty.empty());
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    if (chroot((dir / "root").c_str()) != 0 || chdir("/") != 0) _exit(2);
    const auto scan = scan_tree("/", {});
    if (!scan) _exit(3);
    const std::set<std::string> empty(scan.value().empty.begin(), scan.value().empty.end());
    _exit(empty == std::set<std::string>{"proc", "sys", "dev", "run", "tmp", "var/tmp"} ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}

TEST_CASE("no mksquashfs is an error that names the package and the variable") {
  const TempDir dir;
  (void)dir.write("root/file", "x");
  const Environment tool(kTool, "/nowhere/mksquashfs");
  const auto error = refusal(config_with(dir / "cache"), dir / "root");
  CHECK(error.code == Code::kNotFound);
  CHECK(contains(error.message, kTool));
  CHECK(contains(error.message, "/nowhere/mksquashfs"));
  CHECK(files_in(dir / "cache/packed") == 0);
}

TEST_CASE("no helper, no cache or no directory are errors") {
  const TempDir dir;
  (void)dir.write("root/file", "x");
  Config config = config_with(dir / "cache");
  config.helper = "/nowhere/vmette-vmm";
  CHECK(refusal(config, dir / "root").code == Code::kNotFound);
  CHECK(contains(refusal(config_with(dir / "cache"), dir / "missing").message, "missing"));
  CHECK(contains(refusal(config_with(dir / "root/file"), dir / "root").message, "root/file"));
}

TEST_CASE("a mksquashfs that fails is an error with its words, and leaves nothing") {
  const TempDir dir;
  (void)dir.write("root/file", "x");
  const Environment tool(kTool, tool_in(dir, "echo begun; echo 'it broke' >&2; exit 3\n").c_str());
  const auto error = refusal(config_with(dir / "cache"), dir / "root");
  CHECK(error.code == Code::kSnapshot);
  CHECK(contains(error.message, "it broke"));
  CHECK(contains(error.message, "status 3"));
  CHECK(files_in(dir / "cache/packed") == 0);
}

TEST_CASE("a mksquashfs without zstd packs with gzip") {
  const TempDir dir;
  (void)dir.write("root/file", "x");
  const Environment tool(
      kTool, tool_in(dir,
                     "case \"$*\" in *zstd*) echo 'mksquashfs: Compressor \"zstd\" is not "
                     "supported!' >&2; exit 1;; esac\ncall \"$@\"\n")
                 .c_str());
  const std::string image = packed(config_with(dir / "cache"), dir / "root");
  CHECK(content(image, "file") == "x");
  CHECK(contains(vmette_test::run_program({"unsquashfs", "-s", image}).out, "Compression gzip"));
}

TEST_CASE("a directory that changes while it is packed is packed once more") {
  const TempDir dir;
  (void)dir.write("root/file", "x");
  const std::string once = "[ -e " + (dir / "seen") + " ] || { : > " + (dir / "seen") + "; : > " +
                           (dir / "root/new") + "; }\n";
  const Environment tool(kTool, tool_in(dir, "call \"$@\" || exit\n" + once).c_str());
  const std::string image = packed(config_with(dir / "cache"), dir / "root");
  CHECK(contains(listing(image), "squashfs-root/new"));
  CHECK(files_in(dir / "cache/packed") == 1);
}

TEST_CASE("a directory that never stays as it is, is refused by what changed") {
  const TempDir dir;
  (void)dir.write("root/a", "x");
  (void)dir.write("root/sub/log", "x");
  const std::string always = "echo line >> " + (dir / "root/sub/log") + "\n";
  const Environment tool(kTool, tool_in(dir, "call \"$@\"\n" + always).c_str());
  const auto error = refusal(config_with(dir / "cache"), dir / "root");
  CHECK(error.code == Code::kSnapshot);
  CHECK(contains(error.message, "'sub/log' changed"));
  CHECK(text_of(dir / "root/sub/log") == "xline\nline\n");
  CHECK(files_in(dir / "cache/packed") == 0);
}

TEST_CASE("packing is given up when the progress says so, and mksquashfs with it") {
  const TempDir dir;
  (void)dir.write("root/file", "x");
  const Environment tool(
      kTool, tool_in(dir, "echo $$ > " + (dir / "pid.new") + "; mv " + (dir / "pid.new") + " " +
                              (dir / "pid") + "; exec sleep 1000\n")
                 .c_str());
  const size_t before = vmette_test::open_descriptors();
  Config config = config_with(dir / "cache");
  std::optional<vmette_test::Watched> process;
  config.progress = [&](const std::string&, uint64_t, uint64_t) {
    if (!fs::exists(dir / "pid")) return true;
    process.emplace(std::stoi(text_of(dir / "pid")));
    return false;
  };
  const auto error = refusal(config, dir / "root");
  CHECK(error.code == Code::kCancelled);
  REQUIRE(process);
  CHECK(process->wait_end(std::chrono::seconds(20)));
  process.reset();
  CHECK(vmette_test::open_descriptors() == before);
  CHECK(vmette_test::child_processes() == 0);
  CHECK(files_in(dir / "cache/packed") == 0);
}

TEST_CASE("with the host program killed mksquashfs ends, and the next packer sweeps") {
  const TempDir dir;
  (void)dir.write("root/file", "x");
  vmette_test::mark_helpers();
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  pid_t pid = -1;
  {
    const Environment tool(
        kTool, tool_in(dir, "printf x >&3; echo $$ > " + (dir / "pid.new") + "; mv " +
                                (dir / "pid.new") + " " + (dir / "pid") + "; exec sleep 1000\n")
                   .c_str());
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      Config config = config_with(dir / "cache");
      config.progress = [&](const std::string&, uint64_t, uint64_t) {
        if (fs::exists(dir / "pid") && write(ends[1], "x", 1) != 1) _exit(1);
        return true;
      };
      (void)packed_root(config, dir / "root");
      _exit(0);
    }
  }
  char byte = 0;
  REQUIRE(read(ends[0], &byte, 1) == 1);
  const vmette_test::Watched process(std::stoi(text_of(dir / "pid")));
  CHECK_FALSE(process.has_ended());
  const auto helpers = vmette_test::own_helpers();
  CHECK(helpers.size() == 1);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  CHECK(process.wait_end(std::chrono::seconds(20)));
  for (const auto& helper : helpers) CHECK(helper.wait_end(std::chrono::seconds(20)));
  close(ends[0]);
  close(ends[1]);
  CHECK(files_in(dir / "cache/packed") == 1);  // what was under way
  // Of another directory: the name is not used again, and yet it goes.
  (void)dir.write("other/file", "y");
  CHECK(content(packed(config_with(dir / "cache"), dir / "other"), "file") == "y");
  CHECK(files_in(dir / "cache/packed") == 1);
  // What an image is taken for is whole.
  CHECK(content(packed(config_with(dir / "cache"), dir / "root"), "file") == "x");
}

TEST_CASE("of many packers of one directory one packs, and all get its image") {
  const TempDir dir;
  for (int i = 0; i < 200; ++i) (void)dir.write("root/" + std::to_string(i), "x");
  const Environment tool(kTool,
                         tool_in(dir, "echo run >> " + (dir / "runs") + "\ncall \"$@\"\n").c_str());
  constexpr size_t kPackers = 6;
  std::array<std::string, kPackers> images;
  std::vector<std::thread> threads;
  for (std::string& image : images)
    threads.emplace_back([&] {
      const auto made = packed_root(config_with(dir / "cache"), dir / "root");
      image = made ? made.value() : made.error().message;
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& image : images) CHECK(image == images[0]);
  CHECK(content(images[0], "7") == "x");
  CHECK(text_of(dir / "runs") == "run\n");
  CHECK(files_in(dir / "cache/packed") == 1);
}

TEST_CASE("a cache that is full is an error that says so, and leaves nothing") {
  if (!as_root()) return;
  const TempDir dir;
  std::string noise(4'000'000, '\0');
  uint64_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 6364136223846793005U + 1) >> 56);
  (void)dir.write("root/noise", noise);
  const Mounted small(dir / "cache", "size=1m");
  const auto error = refusal(config_with(dir / "cache"), dir / "root");
  INFO(error.message);
  CHECK(error.code == Code::kSnapshot);
  CHECK(contains(error.message, "No space left"));
  CHECK(files_in(dir / "cache/packed") == 0);
}

TEST_CASE(
    "files that this user cannot read are empty, directories missing, and the rest is there") {
  if (!as_root()) return;
  const TempDir dir;
  (void)dir.write("root/open", "o");
  (void)dir.write("root/closed/inner", "i");
  REQUIRE(chmod(dir.path().c_str(), 0755) == 0);
  REQUIRE(chmod(dir.write("root/secret", "s").c_str(), 0) == 0);
  REQUIRE(chmod((dir / "root/closed").c_str(), 0) == 0);
  fs::create_directory(dir / "cache");
  REQUIRE(chmod((dir / "cache").c_str(), 0777) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    if (setgid(12345) != 0 || setuid(12345) != 0) _exit(2);
    if (access(VMETTE_TEST_HELPER, X_OK) != 0) _exit(4);
    const auto image = packed_root(config_with(dir / "cache"), dir / "root");
    if (!image) fprintf(stderr, "%s\n", image.error().message.c_str());
    _exit(image ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 4) {
    WARN("skipped: other users cannot reach " VMETTE_TEST_HELPER);
    return;
  }
  CHECK(status == 0);
  const std::string image = fs::directory_iterator(dir / "cache/packed")->path();
  CHECK(content(image, "open") == "o");
  CHECK(content(image, "secret").empty());
  CHECK_FALSE(contains(listing(image), "closed"));
}
