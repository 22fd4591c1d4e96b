#include "core/rootfs/resolve.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.h"
#include "support/environment.h"
#include "support/images.h"
#include "support/temp_dir.h"
#include "support/text.h"
#include "support/working_directory.h"

using vmette::core::Code;
using vmette::core::Config;
using vmette::core::Effort;
using vmette::core::Error;
using vmette::core::Provider;
using vmette::core::ProviderContext;
using vmette::core::resolve_spec;
using vmette::core::resolved;
using vmette::core::Result;
using vmette::core::RootfsArtifact;
using vmette::core::RootfsBlock;
using vmette::core::RootfsShare;
using vmette::core::RootfsSpec;
using vmette_test::contains;
using vmette_test::Environment;
using vmette_test::TempDir;
using vmette_test::WorkingDirectory;

namespace {

std::string path_of(const std::string& spec) {
  const auto artifact = resolve_spec(Config(), spec);
  if (!artifact) FAIL(artifact.error().message);
  CHECK(artifact.value().fstype.empty());
  CHECK_FALSE(artifact.value().read_only);
  return artifact.value().path;
}

// One line that starts with the field, names the spec and says why.
Error refused(const Config& config, const std::string& spec, Code code, const std::string& why) {
  const auto artifact = resolve_spec(config, spec);
  INFO(spec);
  REQUIRE_FALSE(artifact);
  const Error error = artifact.error();
  INFO(error.message);
  CHECK(error.code == code);
  CHECK(error.stage == "rootfs");
  CHECK(error.message.rfind("rootfs: ", 0) == 0);
  CHECK(contains(error.message, "'" + spec + "'"));
  CHECK(contains(error.message, why));
  CHECK_FALSE(contains(error.message, "\n"));
  return error;
}

// Claims NAME://..., and gives a directory.
class Custom final : public Provider {
 public:
  Custom(const std::string& name, std::string path, std::vector<std::string>* asked)
      : Provider(name, name + "://DIR"), path_(std::move(path)), asked_(asked) {}

  [[nodiscard]] Result<bool> matches(const std::string& spec) const override {
    asked_->push_back(name());
    return spec.rfind(name() + "://", 0) == 0 || spec == "both";
  }
  [[nodiscard]] Result<RootfsArtifact> provide(const std::string& /*spec*/,
                                               const ProviderContext& /*context*/) const override {
    asked_->push_back(name() + " provides");
    return RootfsArtifact{path_, {}, true, {{"FROM", name()}}};
  }

 private:
  const std::string path_;
  std::vector<std::string>* asked_;
};

}  // namespace

TEST_CASE("the order of the library's providers is dir, squashfs, erofs, ext4") {
  std::string names;
  for (const auto& provider : vmette::core::providers_of(Config())) names += provider->name() + " ";
  CHECK(names == "dir squashfs erofs ext4 ");
}

TEST_CASE("dir claims paths and leaves their links alone") {
  const TempDir dir;
  std::filesystem::create_directories(dir / "root/sub");
  std::filesystem::create_directory_symlink("root", dir.path() / "link");
  const WorkingDirectory here(dir.path());
  const Environment home("HOME", dir.path().c_str());
  const std::string top = dir.path();

  CHECK(path_of("/") == "/");
  CHECK(path_of(top + "/root") == top + "/root");
  CHECK(path_of("./root") == top + "/root");
  CHECK(path_of(".//./root") == top + "/root");
  CHECK(path_of("./link") == top + "/link");
  CHECK(path_of("../" + dir.path().filename().string()) ==
        top + "/../" + dir.path().filename().string());
  CHECK(path_of(".") == top);
  CHECK(path_of("..") == top + "/..");
  CHECK(path_of("~") == top);
  CHECK(path_of("~/root") == top + "/root");
}

TEST_CASE("dir claims a relative path without a dot only when such a directory exists") {
  const TempDir dir;
  std::filesystem::create_directories(dir / "root/sub");
  (void)dir.write("file", "");
  const WorkingDirectory here(dir.path());
  CHECK(path_of("root/sub") == dir / "root/sub");
  refused(Config(), "file", Code::kInvalidSpec, "no provider claims");
  refused(Config(), "root/other", Code::kInvalidSpec, "no provider claims");
}

TEST_CASE("a path that is no usable directory is named with the reason") {
  const TempDir dir;
  const std::string file = dir.write("file", "");
  CHECK(refused(Config(), "/no/such/root", Code::kInvalidSpec, "No such file").error_number ==
        ENOENT);
  refused(Config(), "./nothing/here", Code::kInvalidSpec, "No such file");
  refused(Config(), file, Code::kInvalidSpec, "is not a directory");
  const Environment home("HOME", nullptr);
  refused(Config(), "~/root", Code::kInvalidSpec, "HOME");
}

TEST_CASE("an image is resolved by its type and file URL") {
  const TempDir dir;
  (void)dir.write("tree/etc/hello", "hello");
  for (const std::string fstype : {"squashfs", "erofs", "ext4"}) {
    const std::string image = dir / (fstype + " image");
    vmette_test::make_image(fstype, dir / "tree", image);
    const std::string rest = "+file://" + dir.path().string() + "/" + fstype + "%20image";

    const auto artifact = resolve_spec(Config(), fstype + rest);
    if (!artifact) FAIL(artifact.error().message);
    CHECK(artifact.value().path == image);
    CHECK(artifact.value().fstype == fstype);
    CHECK_FALSE(artifact.value().read_only);

    for (const std::string other : {"squashfs", "erofs", "ext4"}) {
      if (other == fstype) continue;
      const Error error = refused(Config(), other + rest, Code::kInvalidSpec,
                                  "is not a " + other + " image but " + fstype);
      CHECK(contains(error.message, fstype + rest));
    }
  }
}

TEST_CASE("what cannot be an image is refused with what it is") {
  const TempDir dir;
  const std::string file = dir.write("text", "no image at all");
  refused(Config(), "squashfs+file://" + file, Code::kInvalidSpec, "'" + file + "'");
  refused(Config(), "ext4+file:///", Code::kInvalidSpec, "is a directory");
  refused(Config(), "erofs+file:///dev/null", Code::kInvalidSpec, "is not a file");
  CHECK(refused(Config(), "erofs+file:///no/such.img", Code::kInvalidSpec, "No such file")
            .error_number == ENOENT);
  refused(Config(), "ext4+file://host/x.img", Code::kInvalidSpec, "another host");
  refused(Config(), "ext4+file://", Code::kInvalidSpec, "there is no path");
}

TEST_CASE("a spec that nothing claims gets an error that lists what would be claimed") {
  Config config;
  std::vector<std::string> asked;
  config.providers = {std::make_shared<Custom>("echo", "/", &asked)};
  for (const std::string spec :
       {"alpine:3.20", "oci://example.com/image:1", "", "squashfs+https://example.com/x",
        "squashfs+file:/x", "SQUASHFS+FILE:///x", "file:///x", " /x", "~user/x"}) {
    const Error error = refused(config, spec, Code::kInvalidSpec, "no provider claims");
    for (const char* claim : {"echo: echo://DIR", "dir: /PATH, ./PATH, ../PATH, ~/PATH",
                              "squashfs: squashfs+file:///PATH", "erofs: erofs+file:///PATH",
                              "ext4: ext4+file:///PATH"})
      CHECK(contains(error.message, claim));
  }
}

TEST_CASE("providers of the program are asked first, in the order they were added") {
  const TempDir dir;
  std::vector<std::string> asked;
  Config config;
  config.providers = {std::make_shared<Custom>("one", dir.path(), &asked),
                      std::make_shared<Custom>("two", dir.path(), &asked)};

  CHECK(resolve_spec(config, "two://x"));
  CHECK(asked == std::vector<std::string>{"one", "two", "two provides"});
  asked.clear();
  const auto both = resolve_spec(config, "both");
  REQUIRE(both);
  CHECK(both.value().image_env[0].second == "one");
  CHECK(asked == std::vector<std::string>{"one", "one provides"});
  asked.clear();
  CHECK(resolve_spec(config, "/"));
  CHECK(asked == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a provider's name is short, plain and its own") {
  Config config;
  std::vector<std::string> asked;
  config.providers = {std::make_shared<Custom>("mine", "/", &asked)};
  CHECK(vmette::core::check_provider_name(config, "s3"));
  CHECK(vmette::core::check_provider_name(config, std::string(32, 'a')));
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"", "[a-z0-9-]"},     {std::string(33, 'a'), "[a-z0-9-]"},
      {"A", "[a-z0-9-]"},    {"a/b", "[a-z0-9-]"},
      {"..", "[a-z0-9-]"},   {"a b", "[a-z0-9-]"},
      {"dir", "library's"},  {"squashfs", "library's"},
      {"ext4", "library's"}, {"oci", "library's"},
      {"tar", "library's"},  {"mine", "twice"},
  };
  for (const auto& [name, why] : wrong) {
    const auto checked = vmette::core::check_provider_name(config, name);
    INFO(name);
    REQUIRE_FALSE(checked);
    INFO(checked.error().message);
    CHECK(checked.error().code == Code::kInvalidArgument);
    CHECK(contains(checked.error().message, "'" + name + "'"));
    CHECK(contains(checked.error().message, why));
  }
}

TEST_CASE("a provider that returns what cannot be a root is named in the error") {
  const TempDir dir;
  std::vector<std::string> asked;
  Config config;
  config.providers = {std::make_shared<Custom>("gone", dir / "gone", &asked),
                      std::make_shared<Custom>("file", dir.write("file", ""), &asked),
                      std::make_shared<Custom>("empty", "", &asked)};
  refused(config, "gone://x", Code::kProvider,
          "provider gone: returned '" + (dir / "gone") + "' cannot be used");
  refused(config, "file://x", Code::kProvider, "provider file: returned");
  refused(config, "empty://x", Code::kProvider, "provider empty: returned");
}

TEST_CASE("a resolved configuration has a root and lets go of providers and progress") {
  const TempDir dir;
  std::vector<std::string> asked;
  Config config;
  config.providers = {std::make_shared<Custom>("own", dir.path(), &asked)};
  config.progress = [](const std::string&, uint64_t, uint64_t) { return true; };
  config.rootfs = RootfsSpec{"own://x", false};
  config.env = {{"FROM", "caller"}};

  const auto whole = resolved(config, Effort::kAll);
  REQUIRE(whole);
  const auto* share = std::get_if<RootfsShare>(&whole.value().rootfs);
  REQUIRE(share != nullptr);
  CHECK(share->path == dir.path());
  CHECK(share->read_only);  // said the provider
  CHECK(whole.value().image_env == vmette::wire::EnvList{{"FROM", "own"}});
  CHECK(whole.value().env == config.env);
  CHECK(whole.value().providers.empty());
  CHECK_FALSE(whole.value().progress);
  CHECK(config.providers.size() == 1);
}

TEST_CASE("a mere check asks other providers only whether they claim the spec") {
  std::vector<std::string> asked;
  Config config;
  config.providers = {std::make_shared<Custom>("own", "/no/such", &asked)};
  config.rootfs = RootfsSpec{"own://x", true};
  const auto checked = resolved(config, Effort::kQuick);
  REQUIRE(checked);
  CHECK(std::holds_alternative<RootfsSpec>(checked.value().rootfs));
  CHECK(asked == std::vector<std::string>{"own"});

  config.rootfs = RootfsSpec{"/", true};
  const auto path = resolved(config, Effort::kQuick);
  REQUIRE(path);
  CHECK(std::holds_alternative<RootfsShare>(path.value().rootfs));
  config.rootfs = RootfsSpec{"/no/such", true};
  CHECK_FALSE(resolved(config, Effort::kQuick));
  config.rootfs = RootfsSpec{"nobody's", true};
  CHECK_FALSE(resolved(config, Effort::kQuick));
}

TEST_CASE("an artifact becomes the root that it describes, read-only when either says so") {
  Config config;
  vmette::core::set_rootfs_artifact(config, {"/x", "", false, {{"A", "1"}}}, false);
  CHECK_FALSE(std::get<RootfsShare>(config.rootfs).read_only);
  CHECK(config.image_env.size() == 1);
  vmette::core::set_rootfs_artifact(config, {"/x", "", false, {}}, true);
  CHECK(std::get<RootfsShare>(config.rootfs).read_only);
  CHECK(config.image_env.empty());
  vmette::core::set_rootfs_artifact(config, {"/x", "", true, {}}, false);
  CHECK(std::get<RootfsShare>(config.rootfs).read_only);
  vmette::core::set_rootfs_artifact(config, {"/x", "erofs", false, {}}, false);
  CHECK(std::get<RootfsBlock>(config.rootfs).fstype == "erofs");
  CHECK_FALSE(std::get<RootfsBlock>(config.rootfs).read_only);
  vmette::core::set_rootfs_artifact(config, {"/x", "erofs", false, {}}, true);
  CHECK(std::get<RootfsBlock>(config.rootfs).read_only);
}
