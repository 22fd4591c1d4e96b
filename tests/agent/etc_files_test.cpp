#include "etc_files.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "support/catch.h"
#include "support/temp_dir.h"

using vmette::agent::missing_hosts;
using vmette::agent::renamed_hosts;
using vmette::agent::RootFiles;
using vmette_test::TempDir;

namespace {

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("a hosts file gets what it lacks of localhost and the machine's name") {
  const std::string all = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 box\n";
  CHECK(missing_hosts("", "box") == all);
  CHECK(missing_hosts(all, "box").empty());
  CHECK(missing_hosts("127.0.0.1 vm LocalHost\n::1\tip6-localhost  localhost", "box") ==
        "127.0.1.1 box\n");
  CHECK(missing_hosts("127.0.0.1 localhost\n", "") == "::1 localhost\n");
  CHECK(missing_hosts("127.0.0.1 localhost\n10.0.0.1 BOX.example BOX\n", "box") ==
        "::1 localhost\n");
  CHECK(missing_hosts("127.0.0.1 localhost\n::1 localhost\n", "localhost").empty());
}

TEST_CASE("comments, addresses and longer names in a hosts file name nobody") {
  const std::string all = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 box\n";
  for (const char* text :
       {"# 127.0.0.1 localhost\n#::1 localhost box", "127.0.0.1 # localhost box\n", "box\n",
        "1.2.3.4 boxes a-box box.example localhost4\n", "\n\n \t\n", "1.2.3.4", "\r\n"})
    CHECK(missing_hosts(text, "box") == all);
}

TEST_CASE("lines are appended after the file's last one, and once") {
  const TempDir dir;
  RootFiles files(false);
  for (const char* before : {"one", "one\n", "one\ntwo\n"}) {
    const std::string path = dir.write("file", before);
    CHECK(files.append(path, "two\n") == 0);
    CHECK(content(path) == "one\ntwo\n");
    CHECK(files.append(path, "two\n") == 0);
    CHECK(content(path) == "one\ntwo\n");
  }
  const std::string empty = dir.write("empty", "");
  CHECK(files.append(empty, "two\n") == 0);
  CHECK(content(empty) == "two\n");
}

TEST_CASE("two names of one file get the lines once") {
  const TempDir dir;
  const std::string path = dir.write("file", "one\n");
  std::filesystem::create_symlink("file", dir.path() / "link");
  std::filesystem::create_hard_link(path, dir.path() / "name");
  RootFiles files(false);
  for (const char* name : {"link", "file", "name"}) CHECK(files.append(dir / name, "two\n") == 0);
  CHECK(content(path) == "one\ntwo\n");
}

TEST_CASE("what is no regular file is left alone") {
  const TempDir dir;
  REQUIRE(mkfifo((dir / "pipe").c_str(), 0600) == 0);
  std::filesystem::create_symlink("self", dir.path() / "self");
  RootFiles files(false);
  for (const char* name : {"pipe", "."}) {
    CHECK(files.append(dir / name, "x\n") == EINVAL);
    CHECK(files.replace(dir / name, "x\n") == EINVAL);
  }
  CHECK(files.append(dir / "self", "x\n") == ELOOP);
  CHECK(files.append(dir / "missing", "x\n") == ENOENT);
  CHECK_FALSE(std::filesystem::exists(dir / "missing"));
}

TEST_CASE("a file's content is replaced, and a missing file made") {
  const TempDir dir;
  RootFiles files(false);
  const std::string path = dir.write("file", "what was there before");
  CHECK(files.replace(path, "new\n") == 0);
  CHECK(content(path) == "new\n");
  CHECK(files.replace(dir / "missing", "new\n") == 0);
  CHECK(content(dir / "missing") == "new\n");
  CHECK(files.replace(dir / "no/directory", "x") == ENOENT);
}

TEST_CASE("a machine's new name takes the place of its old one in the hosts file") {
  const std::string own = "127.0.0.1 localhost\n::1 localhost\n10.0.0.1 friend old\n";
  CHECK(renamed_hosts(own + "127.0.1.1 old\n", "old", "new") == own + "127.0.1.1 new\n");
  CHECK(renamed_hosts(own + "127.0.1.1 old\n127.0.1.1 other\n", "old", "new") ==
        own + "127.0.1.1 other\n127.0.1.1 new\n");
  // A line of somebody else's stays, and one that is there is not added again.
  CHECK(renamed_hosts(own + "127.0.1.1 old alias\n", "old", "new") ==
        own + "127.0.1.1 old alias\n127.0.1.1 new\n");
  CHECK(renamed_hosts(own + "127.0.1.1 new\n", "old", "new") == own + "127.0.1.1 new\n");
  CHECK(renamed_hosts(own + "127.0.1.1 old", "old", "new") ==
        own + "127.0.1.1 old\n127.0.1.1 new\n");
  CHECK(renamed_hosts("", "old", "new") == "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 new\n");
}
