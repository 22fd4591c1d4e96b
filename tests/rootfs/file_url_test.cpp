#include "core/rootfs/file_url.h"

#include <string>

#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/text.h"
#include "support/working_directory.h"

using vmette::core::Code;
using vmette::core::file_url_of;
using vmette::core::path_of_file_url;
using vmette_test::contains;

namespace {

constexpr const char* kPrefix = "squashfs+file://";

std::string path_of(const std::string& rest) {
  const auto path = path_of_file_url(kPrefix, kPrefix + rest);
  if (!path) FAIL(path.error().message);
  return path.value();
}

void refuses(const std::string& rest, const std::string& why) {
  const auto path = path_of_file_url(kPrefix, kPrefix + rest);
  INFO(rest);
  REQUIRE_FALSE(path);
  INFO(path.error().message);
  CHECK(path.error().code == Code::kInvalidSpec);
  CHECK(contains(path.error().message, why));
}

}  // namespace

TEST_CASE("a file URL's path is what stands after an empty host or localhost") {
  CHECK(path_of("/srv/a.img") == "/srv/a.img");
  CHECK(path_of("localhost/srv/a.img") == "/srv/a.img");
  CHECK(path_of("LocalHost/srv/a.img") == "/srv/a.img");
  CHECK(path_of("//srv/a.img") == "//srv/a.img");
  CHECK(path_of("/a b/\xc3\xa4.img") == "/a b/\xc3\xa4.img");
}

TEST_CASE("percent signs in a file URL are decoded once") {
  CHECK(path_of("/a%20b") == "/a b");
  CHECK(path_of("/%c3%A4%25%3F%23") == "/\xc3\xa4%?#");
  CHECK(path_of("/%2541") == "/%41");
}

TEST_CASE("a file URL that is not understood says what to write") {
  refuses("", "write squashfs+file:///PATH");
  refuses("/100%", "'%' is not a percent sign and two hexadecimal digits");
  refuses("/100%zz/x", "'%zz' is not");
  refuses("/100%4", "'%4' is not");
  refuses("/a%00b", "%00");
  refuses("/a?b", "write %3F");
  refuses("/a#b", "write %23");
  refuses("~/a.img", "write the full path");
  refuses("nas/a.img", "'nas' is another host");
}

TEST_CASE("a relative path in a file URL is refused with the URL that it would be") {
  const vmette_test::TempDir dir;
  (void)dir.write("sub/a b.img", "");
  const vmette_test::WorkingDirectory here(dir.path());
  const std::string full = kPrefix + dir.path().string();
  refuses("a.img", "relative path; write the full one: " + full + "/a.img");
  refuses("./a.img", "write the full one: " + full + "/a.img");
  refuses("../a.img", "write the full one: " + full + "/../a.img");
  refuses("sub/a b.img", "write the full one: " + full + "/sub/a%20b.img");
}

TEST_CASE("a path as a file URL comes back as the same path") {
  std::string path = "/";
  for (int byte = 1; byte < 256; ++byte) path += static_cast<char>(byte);
  const std::string url = file_url_of(kPrefix, path);
  CHECK(path_of(url.substr(std::string(kPrefix).size())) == path);
}
