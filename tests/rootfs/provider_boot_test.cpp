// Machines whose root came from a provider.
#include <filesystem>
#include <memory>
#include <string>

#include "session/machine.h"
#include "support/temp_dir.h"

using vmette::Config;
using vmette::Exec;
using vmette::ProviderContext;
using vmette::RootfsArtifact;
using vmette_test::finished;
using vmette_test::must;
using vmette_test::run_in;
using vmette_test::started;
using vmette_test::TempDir;
using vmette_test::text;

namespace {

// A root needs no more than a shell.
void make_root(const TempDir& dir) {
  std::filesystem::create_directories(dir / "bin");
  std::filesystem::copy_file("/bin/busybox", dir / "bin/busybox");
  std::filesystem::create_symlink("busybox", dir.path() / "bin/sh");
  (void)dir.write("from", "the provider");
}

// shelf://NAME: a directory, with what its image would want to be set.
class Shelf final : public vmette::Provider {
 public:
  Shelf(std::string path, bool read_only) : path_(std::move(path)), read_only_(read_only) {}

  [[nodiscard]] std::string name() const override { return "shelf"; }
  [[nodiscard]] std::string claims() const override { return "shelf://NAME"; }
  [[nodiscard]] bool matches(const std::string& spec) override {
    return spec.rfind("shelf://", 0) == 0;
  }
  [[nodiscard]] vmette::result<RootfsArtifact> provide(const std::string& /*spec*/,
                                                       ProviderContext& /*context*/) override {
    RootfsArtifact artifact;
    artifact.set_path(path_).set_read_only(read_only_);
    artifact.add_image_env("PATH", "/image/bin:/bin").add_image_env("HOME", "/image");
    artifact.add_image_env("VT_A", "image").add_image_env("VT_B", "image");
    artifact.add_image_env("VT_C", "image").add_image_env("VT_B", "image again");
    return artifact;
  }

 private:
  const std::string path_;
  const bool read_only_;
};

Config from_shelf(const TempDir& root, bool read_only) {
  Config config;
  config.add_provider(std::make_unique<Shelf>(root.path().string(), read_only));
  config.set_rootfs("shelf://busybox");
  return config;
}

}  // namespace

TEST_CASE("a custom provider's root boots, and its variables yield to the caller's only") {
  const TempDir root;
  make_root(root);
  Config config = from_shelf(root, false);
  config.add_env("VT_A", "caller").add_env("HOME", "/caller");
  auto session = started(config);

  const auto ran = run_in(session, "busybox cat /from; echo; echo $PATH $HOME $VT_A $VT_B $VT_C");
  INFO(ran.err);
  CHECK(ran.out == "the provider\n/image/bin:/bin /caller caller image again image\n");
  Exec one("echo $VT_A $VT_C");
  one.add_env("VT_A", "command").add_env("VT_C", "command");
  CHECK(run_in(session, one).out == "command command\n");

  CHECK(run_in(session, ": >/written && echo yes").out == "yes\n");
  CHECK_FALSE(std::filesystem::exists(root.path() / "written"));
}

TEST_CASE("a custom provider's read-only root has no writable layer") {
  const TempDir root;
  make_root(root);
  Config config = from_shelf(root, true);
  config.set_exec(": >/written; exit 7").set_capture_output(true);
  const auto session = finished(config);
  const auto output = must(session.output());
  INFO(text(output.stderr_text()));
  CHECK(output.stderr_text().find("Read-only file system") != std::string_view::npos);
  CHECK_FALSE(std::filesystem::exists(root.path() / "written"));
}
