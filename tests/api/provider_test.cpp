// Providers written in C++; nothing is booted.
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vmette.hpp>

#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::Config;
using vmette::ErrorCode;
using vmette::Provider;
using vmette::ProviderContext;
using vmette::RootfsArtifact;
using vmette_test::contains;
using vmette_test::TempDir;

namespace {

// word://WORD, which does what the word says.
class WordProvider final : public Provider {
 public:
  explicit WordProvider(int* alive = nullptr) : alive_(alive) {
    if (alive_ != nullptr) ++*alive_;
  }
  ~WordProvider() override {
    if (alive_ != nullptr) --*alive_;
  }

  [[nodiscard]] std::string name() const override { return "word"; }
  [[nodiscard]] std::string claims() const override { return "word://WORD"; }
  [[nodiscard]] bool matches(const std::string& spec) override {
    if (spec == "throw in matches") throw std::runtime_error("torn\nup");
    return spec.rfind("word://", 0) == 0;
  }
  [[nodiscard]] vmette::result<RootfsArtifact> provide(const std::string& spec,
                                                       ProviderContext& context) override {
    const std::string word = spec.substr(7);
    thread = std::this_thread::get_id();
    if (word == "throw") throw std::runtime_error("out of luck");
    if (word == "throw 7") throw 7;
    if (word == "offline" && context.offline())
      return vmette::Error(ErrorCode::kOfflineCacheMiss, "not in the cache", 2);
    RootfsArtifact artifact;
    if (word == "bad env") artifact.add_image_env("A-B", "x");
    if (word == "nul") artifact.set_path(std::string("/x\0y", 4));
    if (word != "cache") return artifact;
    const auto directory = context.cache_dir();
    if (!directory) return directory.error();
    BOOST_OUTCOME_TRYV(context.report("fetch", 3));
    artifact.set_path(std::string(directory.value()))
        .add_image_env("A", "1")
        .add_image_env("B", "2");
    return artifact;
  }

  std::thread::id thread;

 private:
  int* alive_;
};

Config with_words(const TempDir& cache) {
  Config config;
  config.set_cache_dir(cache.path().string()).add_provider(std::make_unique<WordProvider>());
  REQUIRE(config.error() == nullptr);
  return config;
}

void refuses(const Config& config, const std::string& spec, ErrorCode code, const char* why) {
  const auto artifact = config.resolve_rootfs(spec);
  INFO(spec);
  REQUIRE_FALSE(artifact);
  INFO(artifact.error().message());
  CHECK(artifact.error().code() == code);
  CHECK(contains(artifact.error().message(), why));
  CHECK_FALSE(contains(artifact.error().message(), "\n"));
}

}  // namespace

TEST_CASE("a C++ provider's directory and variables arrive, and it works in its cache directory") {
  const TempDir cache;
  const Config config = with_words(cache);
  const auto artifact = config.resolve_rootfs("word://cache");
  if (!artifact) FAIL(artifact.error().message());
  CHECK(artifact.value().path() == cache / "word");
  CHECK(artifact.value().fstype().empty());
  CHECK_FALSE(artifact.value().read_only());
  REQUIRE(artifact.value().image_env_count() == 2);
  CHECK(artifact.value().image_env(1).first == "B");
  CHECK(artifact.value().image_env(1).second == "2");
}

TEST_CASE("what a C++ provider throws is an error and does not cross the C edge") {
  const TempDir cache;
  const Config config = with_words(cache);
  refuses(config, "word://throw", ErrorCode::kProvider, "out of luck");
  refuses(config, "word://throw 7", ErrorCode::kProvider, "an exception");
  refuses(config, "throw in matches", ErrorCode::kProvider, "torn up");
}

TEST_CASE("what a callback of the C interface throws is contained as well") {
  Config config;
  const auto throws = [](void*, const char*, bool*) -> vmette_error* { throw 7; };
  const auto unused = [](void*, const char*, vmette_provider_context*,
                         vmette_rootfs_artifact**) -> vmette_error* { return nullptr; };
  REQUIRE(vmette_config_add_provider(config.capi(), "raw", "", throws, unused, nullptr, nullptr) ==
          nullptr);
  refuses(config, "x", ErrorCode::kProvider, "threw an exception");
}

TEST_CASE("errors of a C++ provider keep their code and errno") {
  const TempDir cache;
  Config config = with_words(cache);
  config.set_offline(true);
  const auto artifact = config.resolve_rootfs("word://offline");
  REQUIRE_FALSE(artifact);
  CHECK(artifact.error().code() == ErrorCode::kOfflineCacheMiss);
  CHECK(artifact.error().errno_value() == 2);
  CHECK(contains(artifact.error().message(), "provider word: not in the cache"));
  refuses(config, "word://bad env", ErrorCode::kInvalidArgument, "A-B");
  refuses(config, "word://nul", ErrorCode::kInvalidArgument, "NUL");
  refuses(config, "word://no path", ErrorCode::kProvider, "returned");
}

TEST_CASE("a C++ provider lives as long as the configurations that share it") {
  int alive = 0;
  {
    Config config;
    config.add_provider(std::make_unique<WordProvider>(&alive));
    auto copy = config.clone();
    REQUIRE(copy);
    config = Config();
    CHECK(alive == 1);
    CHECK(copy.value().provider_name(0) == "word");
    CHECK(copy.value().provider_claims(0) == "word://WORD");
    CHECK(copy.value().provider_count() == 5);
    copy.value().add_provider(std::make_unique<WordProvider>(&alive));  // the name is taken
    CHECK(copy.value().error() != nullptr);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
  Config config;
  config.add_provider(nullptr);
  REQUIRE(config.error() != nullptr);
  CHECK(config.error()->code() == ErrorCode::kInvalidArgument);
}

TEST_CASE("a C++ provider and progress are called on the thread that makes the session") {
  const TempDir cache;
  auto owned = std::make_unique<WordProvider>();
  const WordProvider& provider = *owned;
  std::thread::id reported;
  Config config;
  config.set_cache_dir(cache.path().string()).add_provider(std::move(owned));
  config.set_progress([&](std::string_view step, std::uint64_t done, std::uint64_t total) {
    CHECK(step == "fetch");
    CHECK(done == 3);
    CHECK(total == 0);
    reported = std::this_thread::get_id();
    return true;
  });
  config.set_rootfs("word://cache");
  const auto session = vmette::Session::create(config);
  if (!session) FAIL(session.error().message());
  CHECK(provider.thread == std::this_thread::get_id());
  CHECK(reported == std::this_thread::get_id());

  config.set_progress([](std::string_view, std::uint64_t, std::uint64_t) -> bool { throw 7; });
  refuses(config, "word://cache", ErrorCode::kCancelled, "gave up");
  config.set_progress(nullptr);
  CHECK(config.resolve_rootfs("word://cache"));
}

TEST_CASE("a setter that failed on an artifact is the configuration's error") {
  RootfsArtifact artifact;
  artifact.set_path("/").add_image_env("A-B", "x");
  Config config;
  config.set_rootfs_artifact(artifact);
  REQUIRE(config.error() != nullptr);
  CHECK(contains(config.error()->message(), "A-B"));

  RootfsArtifact root;
  root.set_path("/").set_read_only(true).set_fstype(nullptr);
  // Any file does where nothing boots: the guest's assets may not have been built.
  CHECK(Config()
            .set_kernel("/bin/sh")
            .set_initramfs("/bin/sh")
            .set_rootfs_artifact(root, true)
            .validate());
}
