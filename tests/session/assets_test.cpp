#include "core/assets.h"

#include <stdlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/text.h"
#include "wire/codec.h"

using nlohmann::json;
using vmette::core::BootFiles;
using vmette::core::Code;
using vmette::core::Config;
using vmette::core::find_boot_files;
using vmette_test::contains;
using vmette_test::TempDir;

namespace {

// Any program does where none is started.
constexpr const char* kProgram = "/bin/sh";

json manifest(uint32_t generation, size_t kernel_size, size_t initramfs_size) {
  return {{"agent", {{"generation", generation}}},
          {"kernel", {{"file", "vmlinux"}, {"size", kernel_size}}},
          {"initramfs", {{"file", "initramfs.cpio"}, {"size", initramfs_size}}}};
}

// A set as the build makes it, under <arch>/`below`.
void write_set(const TempDir& dir, const std::string& below, const json& described,
               const std::string& kernel = "kernel", const std::string& initramfs = "cpio") {
  const std::string set = vmette::core::guest_arch() + below;
  (void)dir.write(set + "/manifest.json", described.dump());
  (void)dir.write(set + "/vmlinux", kernel);
  (void)dir.write(set + "/initramfs.cpio", initramfs);
}

Config config_for(const TempDir& dir) {
  Config config;
  config.assets = dir.path();
  config.helper = kProgram;
  return config;
}

void refuses(const Config& config, const std::string& stage, const std::string& first,
             const std::string& second) {
  const auto files = find_boot_files(config);
  REQUIRE_FALSE(files);
  INFO(files.error().message);
  CHECK(files.error().code == Code::kNotFound);
  CHECK(files.error().stage == stage);
  CHECK(contains(files.error().message, first));
  CHECK(contains(files.error().message, second));
}

// Sets a variable for one scope.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("kernel and initramfs come from the set that the manifest describes") {
  const TempDir dir;
  write_set(dir, "", manifest(vmette::wire::kGeneration, 6, 4));
  const auto files = find_boot_files(config_for(dir));
  REQUIRE(files);
  const std::string set = dir / vmette::core::guest_arch();
  CHECK(files.value().kernel == set + "/vmlinux");
  CHECK(files.value().initramfs == set + "/initramfs.cpio");
  CHECK(files.value().helper == kProgram);
}

TEST_CASE("a tuned set is preferred where it is present") {
  const TempDir dir;
  write_set(dir, "", manifest(1, 6, 4));
  write_set(dir, "/tuned", manifest(1, 6, 4));
  const auto files = find_boot_files(config_for(dir));
  REQUIRE(files);
  CHECK(contains(files.value().kernel, "/tuned/vmlinux"));
  CHECK(contains(files.value().initramfs, "/tuned/initramfs.cpio"));
}

TEST_CASE("a kernel of the caller's own goes with the set's initramfs") {
  const TempDir dir;
  write_set(dir, "", manifest(1, 6, 4));
  Config config = config_for(dir);
  config.kernel = dir.write("own", "k");
  const auto files = find_boot_files(config);
  REQUIRE(files);
  CHECK(files.value().kernel == config.kernel);
  CHECK(contains(files.value().initramfs, "initramfs.cpio"));
}

TEST_CASE("no assets are needed when the caller names both files") {
  const TempDir dir;
  Config config = config_for(dir);
  config.kernel = dir.write("k", "k");
  config.initramfs = dir.write("i", "i");
  CHECK(find_boot_files(config));
}

TEST_CASE("a set whose files are not the described ones is refused by the file's name") {
  const TempDir dir;
  write_set(dir, "", manifest(1, 7, 4));
  refuses(config_for(dir), "assets", "vmlinux is not the file", "guest assets again");
  write_set(dir, "", manifest(1, 6, 5));
  refuses(config_for(dir), "assets", "initramfs.cpio is not the file", dir.path());
  std::filesystem::remove(dir / std::string(vmette::core::guest_arch()) + "/vmlinux");
  refuses(config_for(dir), "assets", "vmlinux is missing", "manifest.json");
}

TEST_CASE("an agent of another protocol generation is refused with both numbers") {
  const TempDir dir;
  const uint32_t future = vmette::wire::kGeneration + 1;
  write_set(dir, "", manifest(future, 6, 4));
  refuses(config_for(dir), "assets", "generation " + std::to_string(future),
          "this library " + std::to_string(vmette::wire::kOldestGeneration));
  write_set(dir, "", manifest(vmette::wire::kOldestGeneration - 1, 6, 4));
  refuses(config_for(dir), "assets", "generation", "build or install");
}

TEST_CASE("a manifest that is none is refused and never trusted") {
  const TempDir dir;
  const std::string file = std::string(vmette::core::guest_arch()) + "/manifest.json";
  for (const std::string text :
       {"", "[]", "{", "{}", "{\"agent\":1}", "nonsense", "{\"agent\":{\"generation\":\"1\"}}",
        "{\"agent\":{\"generation\":1},\"kernel\":{\"file\":7}}"}) {
    (void)dir.write(file, text);
    INFO(text);
    refuses(config_for(dir), "assets", "manifest.json", "again");
  }
}

TEST_CASE("missing assets name the places that were searched and the way out") {
  const TempDir dir;
  refuses(config_for(dir), "assets", dir.path(), "VMETTE_ASSETS_DIR");
}

TEST_CASE("the environment names assets and helper, the configuration goes before it") {
  const TempDir dir;
  write_set(dir, "", manifest(1, 6, 4));
  const Variable assets("VMETTE_ASSETS_DIR", dir.path());
  const Variable helper("VMETTE_VMM", kProgram);
  const auto files = find_boot_files(Config{});
  REQUIRE(files);
  CHECK(contains(files.value().kernel, dir.path().string()));
  CHECK(files.value().helper == kProgram);

  const TempDir other;
  write_set(other, "", manifest(1, 6, 4));
  Config config = config_for(other);
  config.helper = "/bin/cat";
  const auto preferred = find_boot_files(config);
  REQUIRE(preferred);
  CHECK(contains(preferred.value().kernel, other.path().string()));
  CHECK(preferred.value().helper == "/bin/cat");
}

TEST_CASE("a helper that cannot be run is refused by its path") {
  const TempDir dir;
  write_set(dir, "", manifest(1, 6, 4));
  Config config = config_for(dir);
  config.helper = dir.write("helper", "not executable");
  refuses(config, "helper", config.helper, "VMETTE_VMM");
  config.helper = dir / "gone";
  refuses(config, "helper", config.helper, "vmette-vmm");
}
