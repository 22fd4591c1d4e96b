// Trees that are packed and unpacked again.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/temp_dir.h"
#include "trees.h"

namespace vmette_test {
namespace {

namespace fs = std::filesystem;
using vmette::UniqueFd;
using vmette::tree::Packer;
using vmette::tree::Unpacker;
using vmette::tree::UnpackOptions;

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

struct stat status_of(const std::string& path) {
  struct stat status{};
  INFO(path);
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status;
}

void set_mtime(const std::string& path, time_t seconds, long nanoseconds) {
  const timespec times[2] = {{0, UTIME_OMIT}, {seconds, nanoseconds}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

// Unpacks in steps of `step` bytes.
void unpack(const std::string& stream, const TempDir& where, const std::string& name,
            size_t step = SIZE_MAX, const UnpackOptions& options = {}) {
  Unpacker unpacker(open_top(where.path()), name, options);
  for (size_t at = 0; at < stream.size(); at += std::min(step, stream.size() - at)) {
    const bool taken = unpacker.take(bytes_of(std::string_view(stream).substr(at, step)));
    INFO((unpacker.failure() ? unpacker.failure()->path + ": " + unpacker.failure()->message +
                                   std::strerror(unpacker.failure()->error)
                             : std::string()));
    REQUIRE(taken);
  }
  REQUIRE(unpacker.end());
}

// One of everything, with names and times that are easily lost.
void grow(const TempDir& dir) {
  (void)dir.write("t/a/deep/file", std::string(200'000, 'x'));
  (void)dir.write("t/empty", "");
  (void)dir.write("t/\xff odd\nname", "odd");
  fs::create_directories(dir / "t/a/nothing in it");
  fs::create_symlink("../nowhere", dir / "t/a/link");
  REQUIRE(::chmod((dir / "t/empty").c_str(), 04750) == 0);
  REQUIRE(::chmod((dir / "t/a").c_str(), 0555) == 0);
  set_mtime(dir / "t/empty", 1'000'000'000, 123'456'789);
  set_mtime(dir / "t/a/link", 5, 6);
  set_mtime(dir / "t/a", -3, 7);
}

}  // namespace

TEST_CASE("A tree comes out as it went in, whatever the pieces it travels in") {
  const TempDir dir;
  grow(dir);
  const std::string stream = packed(dir / "t");
  CHECK(packed(dir / "t", 64).size() >= stream.size());
  for (const size_t step : {SIZE_MAX, size_t{1}, size_t{7}}) {
    const std::string name = "copy" + std::to_string(step);
    unpack(step == 7 ? packed(dir / "t", 100) : stream, dir, name, step);
    const std::string copy = dir / name;
    CHECK(content(copy + "/a/deep/file") == std::string(200'000, 'x'));
    CHECK(content(copy + "/\xff odd\nname") == "odd");
    CHECK(fs::is_empty(copy + "/a/nothing in it"));
    CHECK(fs::read_symlink(copy + "/a/link") == "../nowhere");
    CHECK((status_of(copy + "/empty").st_mode & 07777) == 04750);
    CHECK((status_of(copy + "/a").st_mode & 07777) == 0555);
    for (const char* path : {"/empty", "/a/link", "/a"}) {
      CHECK(status_of(copy + path).st_mtim.tv_sec == status_of(dir / "t" + path).st_mtim.tv_sec);
      CHECK(status_of(copy + path).st_mtim.tv_nsec == status_of(dir / "t" + path).st_mtim.tv_nsec);
    }
  }
}

TEST_CASE("Holes stay holes, in the middle and at the end") {
  const TempDir dir;
  const std::string path = dir.write("sparse", "begin");
  fs::resize_file(path, 64U << 20);
  {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(32 << 20);
    file << "middle";
  }
  const std::string stream = packed(path);
  CHECK(stream.size() < 100'000);
  unpack(stream, dir, "copy");
  CHECK(content(dir / "copy") == content(path));
  CHECK(status_of(dir / "copy").st_blocks * 512 < 1 << 20);
}

TEST_CASE("A single file is a tree too, and takes the place of what was there") {
  const TempDir dir;
  const std::string path = dir.write("f", "new");
  (void)dir.write("victim", "untouched");
  fs::create_symlink("victim", dir / "link");
  fs::create_hard_link(dir / "victim", dir / "hard");
  for (const char* name : {"link", "hard", "fresh"}) {
    unpack(packed(path), dir, name);
    CHECK(content(dir / name) == "new");
    CHECK(fs::is_regular_file(fs::symlink_status(dir / name)));
  }
  CHECK(content(dir / "victim") == "untouched");
}

TEST_CASE("A directory that is there is filled up") {
  const TempDir dir;
  (void)dir.write("from/a/x", "new");
  (void)dir.write("to/a/x", "old");
  (void)dir.write("to/a/y", "kept");
  unpack(packed(dir / "from"), dir, "to");
  CHECK(content(dir / "to/a/x") == "new");
  CHECK(content(dir / "to/a/y") == "kept");
}

TEST_CASE("What is no file, directory or link is skipped and counted") {
  const TempDir dir;
  (void)dir.write("t/f", "x");
  REQUIRE(::mkfifo((dir / "t/pipe").c_str(), 0600) == 0);
  Packer packer(open_top(dir / "t"));
  std::string buffer(4096, '\0');
  const size_t size = packer.fill(std::as_writable_bytes(std::span(buffer)));
  CHECK(packer.over());
  CHECK(packer.progress().skipped == 1);
  Unpacker unpacker(open_top(dir.path()), "copy", {});
  CHECK(unpacker.take(bytes_of(std::string_view(buffer).substr(0, size))));
  CHECK(unpacker.end());
  CHECK(unpacker.progress().skipped == 1);
  CHECK(unpacker.progress().entries == 1 + 1);
  CHECK(unpacker.progress().bytes == 1);
  CHECK_FALSE(fs::exists(dir / "copy/pipe"));
}

TEST_CASE("Modes can be held back, and so can content") {
  const TempDir dir;
  grow(dir);
  UnpackOptions options;
  options.modes = 0777;
  unpack(packed(dir / "t"), dir, "copy", SIZE_MAX, options);
  CHECK((status_of(dir / "copy/empty").st_mode & 07777) == 0750);
  options.most_bytes = 1000;
  Unpacker unpacker(open_top(dir.path()), "small", options);
  CHECK_FALSE(unpacker.take(bytes_of(packed(dir / "t"))));
  REQUIRE(unpacker.failure());
  CHECK(unpacker.failure()->error == EFBIG);
}

TEST_CASE("A failure names what could not be packed") {
  const TempDir dir;
  std::string path = dir / "t";
  REQUIRE(::mkdir(path.c_str(), 0755) == 0);
  UniqueFd level = open_top(path);
  for (size_t i = 0; i <= vmette::tree::kMaxDepth; ++i) {
    REQUIRE(::mkdirat(level.get(), "d", 0755) == 0);
    level.reset(::openat(level.get(), "d", O_RDONLY | O_CLOEXEC));
  }
  Packer packer(open_top(path));
  std::string buffer(1 << 20, '\0');
  while (!packer.over()) packer.fill(std::as_writable_bytes(std::span(buffer)));
  REQUIRE(packer.failure());
  CHECK(packer.failure()->error == ENAMETOOLONG);
  CHECK(packer.failure()->path.substr(0, 4) == "d/d/");
  Packer fifo(open_top("/dev/null"));
  CHECK(fifo.fill(std::as_writable_bytes(std::span(buffer))) == 0);
  REQUIRE(fifo.failure());
  CHECK(fifo.failure()->error == EINVAL);
}

}  // namespace vmette_test
