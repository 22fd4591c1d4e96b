// Streams that no honest packer writes: nothing may be made outside the folder, nothing may crash.
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <string>
#include <system_error>

#include "support/temp_dir.h"
#include "trees.h"
#include "wire/calls.h"

namespace vmette_test {
namespace {

namespace fs = std::filesystem;
using vmette::tree::Unpacker;
using vmette::wire::FileInfo;

constexpr uint32_t kDirectory = S_IFDIR | 0755;
constexpr uint32_t kFile = S_IFREG | 0644;
constexpr uint32_t kLink = S_IFLNK | 0777;

std::string little(uint64_t value, size_t bytes) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) text += static_cast<char>((value >> (8 * i)) & 0xff);
  return text;
}

std::string entry(const std::string& name, uint32_t mode, const std::string& target = "") {
  FileInfo info;
  info.name = name;
  info.mode = mode;
  info.target = target;
  std::string bytes;
  vmette::wire::append_entry(bytes, info);
  return bytes;
}

std::string piece(uint64_t offset, const std::string& bytes) {
  return little(offset, 8) + little(bytes.size(), 4) + bytes;
}

std::string file(const std::string& name, const std::string& bytes) {
  return entry(name, kFile) + piece(0, bytes) + piece(bytes.size(), "");
}

const std::string kTop = entry("", kDirectory);
const std::string kUp = entry("", 0);

vmette::tree::Failure failure_of(const TempDir& dir, const std::string& stream) {
  Unpacker unpacker(open_top(dir.path()), "in", {});
  if (unpacker.take(bytes_of(stream))) (void)unpacker.end();
  REQUIRE(unpacker.failure());
  return *unpacker.failure();
}

}  // namespace

TEST_CASE("A name that leads out of its directory is refused") {
  for (const std::string& name :
       {std::string(".."), std::string("."), std::string("/etc/x"), std::string("a/b"),
        std::string("../x"), std::string("a\0b", 3)}) {
    const TempDir dir;
    for (const std::string& bad :
         {file(name, "x"), entry(name, kDirectory), entry(name, kLink, "t")}) {
      const auto failure = failure_of(dir, kTop + bad);
      CHECK(failure.error == 0);
      CHECK(failure.message.find("an entry is named") == 0);
    }
    CHECK(fs::is_empty(dir / "in"));
  }
}

TEST_CASE("A link that came with the tree is never followed") {
  const TempDir dir;
  (void)dir.write("out/victim", "untouched");
  const std::string link = kTop + entry("l", kLink, "../out");
  CHECK(failure_of(dir, link + entry("l", kDirectory)).error == ENOTDIR);
  // In the place of a link there is a new file then, and what it led to stays as it was.
  Unpacker unpacker(open_top(dir.path()), "in", {});
  CHECK(unpacker.take(bytes_of(kTop + entry("f", kLink, "../out/victim") + file("f", "x") + kUp)));
  CHECK(unpacker.end());
  CHECK(fs::file_size(dir / "out/victim") == 9);
  CHECK(fs::is_regular_file(fs::symlink_status(dir / "in/f")));
}

TEST_CASE("A link that was there before is not followed either") {
  const TempDir dir;
  (void)dir.write("out/victim", "untouched");
  fs::create_directories(dir / "in");
  fs::create_symlink("../out", dir / "in/d");
  CHECK(failure_of(dir, kTop + entry("d", kDirectory) + file("victim", "x")).error == ENOTDIR);
  CHECK(fs::file_size(dir / "out/victim") == 9);
}

TEST_CASE("What a stream leaves out, repeats or bends is found") {
  const TempDir dir;
  const auto message = [&](const std::string& stream) {
    const auto failure = failure_of(dir, stream);
    CHECK(failure.error == 0);
    return failure.message;
  };
  CHECK(message("") == "a tree ends before its end");
  CHECK(message(kTop) == "a tree ends before its end");
  CHECK(message(kTop + entry("f", kFile) + piece(0, "x")) == "a tree ends before its end");
  CHECK(message(kTop + kUp + kUp) == "bytes follow the end of a tree");
  CHECK(message(entry("named", kDirectory)) == "the top of a tree has a name");
  CHECK(message(kUp) == "an entry of an unknown type");
  CHECK(message(entry("", kLink, "x")) == "the top of a tree is a link");
  CHECK(message(entry("", S_IFCHR | 0600)) == "the top of a tree is no directory and no file");
  CHECK(message(kTop + entry("x", 0644)) == "an entry of an unknown type");
  CHECK(message(kTop + entry("x", kLink, "")) == "a link that cannot be one");
  CHECK(message(kTop + entry("x", kLink, std::string(5000, 'x'))) == "a link that cannot be one");
  CHECK(message(kTop + entry("x", kLink, std::string("a\0b", 3))) == "a link that cannot be one");
  CHECK(message(little(17000, 4)) == "an entry of 17000 bytes");
  const std::string open_file = kTop + entry("f", kFile) + piece(10, "abc");
  CHECK(message(open_file + piece(12, "d")).find("out of order") != std::string::npos);
  CHECK(message(open_file + piece(UINT64_MAX, "d")).find("too large") != std::string::npos);
  CHECK(message(open_file + little(13, 8) + little(1U << 30, 4)).find("too large") !=
        std::string::npos);
  CHECK(failure_of(dir, kTop + entry("d", kDirectory) + kUp + file("d", "x")).error == EISDIR);
}

TEST_CASE("Levels without end stop at the limit") {
  const TempDir dir;
  std::string stream = kTop;
  for (size_t i = 0; i <= vmette::tree::kMaxDepth; ++i) stream += entry("d", kDirectory);
  CHECK(failure_of(dir, stream).error == ENAMETOOLONG);
}

TEST_CASE("Flipped bits never lead out of the folder and never crash") {
  const TempDir dir;
  (void)dir.write("out/victim", "untouched");
  const std::string whole = kTop + entry("d", kDirectory) + file("f", "content") +
                            entry("l", kLink, "../../out") + kUp + file("g", "more") + kUp;
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string stream = whole;
    for (size_t flips = 1 + random() % 3; flips > 0; --flips)
      stream[random() % stream.size()] ^= static_cast<char>(1 << random() % 8);
    Unpacker unpacker(open_top(dir.path()), "in", {});
    if (unpacker.take(bytes_of(stream))) (void)unpacker.end();
    std::error_code ignored;
    fs::permissions(dir / "in", fs::perms::owner_all, ignored);
    fs::remove_all(dir / "in", ignored);
  }
  size_t names = 0;
  for (const auto& item : fs::directory_iterator(dir.path())) names += item.exists() ? 1 : 0;
  CHECK(names == 1);
  CHECK(fs::file_size(dir / "out/victim") == 9);
}

}  // namespace vmette_test
