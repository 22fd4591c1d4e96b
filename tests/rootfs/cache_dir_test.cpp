#include "core/rootfs/cache_dir.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "core/rootfs/provider.h"
#include "support/catch.h"
#include "support/environment.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::core::cache_root;
using vmette::core::Code;
using vmette::core::Config;
using vmette::core::ProviderContext;
using vmette_test::contains;
using vmette_test::Environment;
using vmette_test::TempDir;

namespace {

std::string root_of(const Config& config) {
  const auto root = cache_root(config);
  if (!root) FAIL(root.error().message);
  return root.value();
}

}  // namespace

TEST_CASE("the cache is where the configuration says, else XDG_CACHE_HOME, else HOME") {
  const Environment home("HOME", "/home/somebody");
  const Environment xdg("XDG_CACHE_HOME", "/var/cache/somebody");
  Config config;
  CHECK(root_of(config) == "/var/cache/somebody/vmette");
  config.cache_dir = "/elsewhere";
  CHECK(root_of(config) == "/elsewhere");
  config.cache_dir = "relative";
  CHECK(root_of(config) == std::filesystem::current_path().string() + "/relative");
}

TEST_CASE("a relative or empty XDG_CACHE_HOME is as good as none") {
  const Environment home("HOME", "/home/somebody");
  for (const char* value : {"relative", ""}) {
    const Environment xdg("XDG_CACHE_HOME", value);
    const std::string root = root_of(Config());
    CHECK(root.rfind("/home/somebody/", 0) == 0);
    CHECK(contains(root, "vmette"));
  }
}

TEST_CASE("no place for the cache is an error that names the three ways to give one") {
  const Environment home("HOME", nullptr);
  const Environment xdg("XDG_CACHE_HOME", nullptr);
  const auto root = cache_root(Config());
  REQUIRE_FALSE(root);
  CHECK(root.error().code == Code::kInvalidConfig);
  for (const char* name : {"cache_dir", "XDG_CACHE_HOME", "HOME"})
    CHECK(contains(root.error().message, name));
}

TEST_CASE("a provider gets a directory of its own that only the user can enter") {
  const TempDir dir;
  Config config;
  config.cache_dir = dir / "a/b";
  const std::string name = "own";
  const ProviderContext context(config, name);
  for (int i = 0; i < 2; ++i) {  // the second time it is there
    const auto own = context.cache_dir();
    if (!own) FAIL(own.error().message);
    CHECK(own.value() == dir / "a/b/own");
    struct stat info{};
    REQUIRE(::stat(own.value().c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0700);
  }
}

TEST_CASE("a cache directory that cannot be made is an error with its errno") {
  const TempDir dir;
  Config config;
  config.cache_dir = dir.write("file", "") + "/below";
  const std::string name = "own";
  const auto own = ProviderContext(config, name).cache_dir();
  REQUIRE_FALSE(own);
  CHECK(own.error().code == Code::kIo);
  CHECK(own.error().error_number == ENOTDIR);
  CHECK(contains(own.error().message, "/file'"));
}

TEST_CASE("progress reaches the callback, and its no reaches the provider") {
  Config config;
  const std::string name = "own";
  const ProviderContext context(config, name);
  CHECK(context.report("pull", 1, 2));  // to nobody

  std::string heard;
  config.progress = [&](const std::string& step, uint64_t done, uint64_t total) {
    heard = step + " " + std::to_string(done) + "/" + std::to_string(total);
    return done < 2;
  };
  CHECK(context.report("pull", 1, 2));
  CHECK(heard == "pull 1/2");
  const auto cancelled = context.report("pull", 2, 2);
  REQUIRE_FALSE(cancelled);
  CHECK(cancelled.error().code == Code::kCancelled);
}
