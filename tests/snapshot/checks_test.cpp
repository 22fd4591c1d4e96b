#include "core/snapshot/checks.h"

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "core/snapshot/digest.h"
#include "snapshot/sample.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/text.h"

using nlohmann::json;
using vmette::core::check_digests;
using vmette::core::check_identity;
using vmette::core::check_images;
using vmette::core::check_snapshot;
using vmette::core::check_structure;
using vmette::core::Code;
using vmette::core::HostIdentity;
using vmette::core::read_manifest;
using vmette::core::SnapshotManifest;
using vmette_test::build_sample;
using vmette_test::contains;
using vmette_test::overwrite;
using vmette_test::require_ok;
using vmette_test::sample_host;
using vmette_test::sample_manifest;
using vmette_test::TempDir;

namespace {

template <class Result>
std::string refusal(const Result& result) {
  REQUIRE_FALSE(result);
  INFO(result.error().message);
  CHECK(result.error().code == Code::kRestoreFailed);
  CHECK(contains(result.error().message, "snapshot /"));
  return result.error().message;
}

// What a resume does before it starts anything; empty when all is well.
std::string resume(const std::string& path, const HostIdentity& host) {
  const auto manifest = read_manifest(path);
  if (!manifest) return manifest.error().message;
  const auto checked = check_snapshot(path, manifest.value(), host);
  return checked ? std::string() : checked.error().message;
}

// Another value of the same type that is as legal as can be.
json changed(const json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<int64_t>() + 1;
  std::string text = value.is_string() ? value.get<std::string>() : "";
  if (text.empty()) return "x";
  text.back() = text.back() == 'b' ? 'c' : 'b';
  return text;
}

void set_mtime(const std::string& path, int64_t mtime_ns) {
  const std::array<timespec, 2> times = {{{0, UTIME_OMIT}, {mtime_ns / 1000000000, 0}}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times.data(), 0) == 0);
}

}  // namespace

TEST_CASE("a snapshot is fine on the host that saved it") {
  const TempDir dir;
  const std::string path = dir / "warm";
  const SnapshotManifest manifest = build_sample(dir, path, true);
  CHECK(resume(path, sample_host(manifest)).empty());
  for (const auto& file : manifest.files) CHECK(vmette::core::is_snapshot_file(file.name));
  CHECK(manifest.files.size() == 4);
  require_ok(check_digests(path, manifest));
}

TEST_CASE("every value of a manifest, changed in turn, is noticed before a resume") {
  const TempDir dir;
  const std::string path = dir / "warm";
  const HostIdentity host = sample_host(build_sample(dir, path, true));
  const std::string file = path + "/manifest.json";
  std::ifstream in(file);
  const json whole = json::parse(in);
  const json flat = whole.flatten();
  CHECK(flat.size() > 70);
  for (const auto& leaf : flat.items()) {
    INFO(leaf.key());
    json other = whole;
    other.at(json::json_pointer(leaf.key())) = changed(leaf.value());
    overwrite(file, other.dump());
    const std::string message = resume(path, host);
    CHECK(contains(message, path));
    // What can be compared with something is told by its name, and not by the digest.
    for (const char* named : {"/identity/", "/kernel/size", "/protocol", "/memory_mib",
                              "/root/size", "/disks/0/size", "/files/0/size", "/format"})
      if (contains(leaf.key(), named) && !contains(leaf.key(), "tsc"))
        CHECK_FALSE(contains(message, ": digest:"));
  }
  // Elements of lists, gone or twice.
  for (const char* list : {"/disks", "/shares", "/env", "/image_env", "/files"}) {
    INFO(list);
    const json::json_pointer at(list);
    json fewer = whole;
    fewer.at(at).erase(0);
    overwrite(file, fewer.dump());
    CHECK(contains(resume(path, host), path));
    json more = whole;
    more.at(at).push_back(whole.at(at)[0]);
    overwrite(file, more.dump());
    CHECK(contains(resume(path, host), path));
  }
  json without = whole;
  without["scratch"] = nullptr;
  overwrite(file, without.dump());
  CHECK(contains(resume(path, host), path));
  overwrite(file, whole.dump());
  CHECK(resume(path, host).empty());
}

TEST_CASE("another hypervisor, machine or processor is refused by its field and both values") {
  const TempDir dir;
  const SnapshotManifest saved = sample_manifest(dir);
  const std::vector<std::pair<std::string, std::function<void(HostIdentity&)>>> changes = {
      {"identity.hypervisor", [](auto& host) { host.identity.hypervisor = "other"; }},
      {"identity.version", [](auto& host) { host.identity.version = "other"; }},
      {"identity.machine", [](auto& host) { host.identity.machine = "other"; }},
      {"identity.accel", [](auto& host) { host.identity.accel = "other"; }},
      {"identity.arch", [](auto& host) { host.identity.arch = "other"; }},
      {"identity.cpu", [](auto& host) { host.identity.cpu = "other"; }},
      {"identity.tsc_khz", [](auto& host) { host.identity.tsc_khz = 2'403'000; }},
      {"kernel.path", [](auto& host) { host.kernel = {}; }},
      {"kernel.size", [](auto& host) { host.kernel.stamp.size = 77; }},
      {"initramfs.size", [](auto& host) { host.initramfs.stamp.size = 77; }},
      {"initramfs.mtime_ns", [](auto& host) { host.initramfs.stamp.mtime_ns = 77; }},
      {"protocol", [](auto& host) { host.protocol = 77; }},
  };
  for (const auto& [field, change] : changes) {
    INFO(field);
    HostIdentity host = sample_host(saved);
    change(host);
    const std::string message = refusal(check_identity("/srv/warm", saved, host));
    CHECK(contains(message, "snapshot /srv/warm: " + field + ": the snapshot has '"));
    CHECK(contains(message, "this host has '"));
    CHECK(contains(message, "; "));
  }
  HostIdentity close = sample_host(saved);
  close.identity.tsc_khz = 2'402'000;
  require_ok(check_identity("/srv/warm", saved, close));
}

TEST_CASE("a copied kernel with another time is told by its digest") {
  const TempDir dir;
  SnapshotManifest saved = sample_manifest(dir);
  HostIdentity host = sample_host(saved);
  host.kernel.path = dir.write("copy", "kernel");
  host.kernel.stamp.mtime_ns = 1;
  host.kernel.stamp.sha256.clear();
  CHECK(contains(refusal(check_identity("/srv/warm", saved, host)), "kernel.sha256"));
  CHECK(contains(refusal(check_identity("/srv/warm", saved, host)), "kernel.sha256"));
  saved.kernel.stamp.sha256 = vmette::core::sha256_of("kernel");
  require_ok(check_identity("/srv/warm", saved, host));
  saved.kernel.stamp.sha256.clear();
  CHECK(contains(refusal(check_identity("/srv/warm", saved, host)), "kernel.mtime_ns"));
}

TEST_CASE("a lower image that was replaced after the save is refused") {
  for (const char* name : {"root", "disks[0]"}) {
    const TempDir dir;
    SnapshotManifest saved = sample_manifest(dir);
    require_ok(check_images("/srv/warm", saved));
    const std::string image = *name == 'r' ? saved.root.path : saved.disks[0].path;
    const auto before = vmette::core::stamp_of(image).value();
    const std::string field = name;

    // Longer; of the same length at another time; another file of the same length and time.
    overwrite(image, "longer than before");
    std::string message = refusal(check_images("/srv/warm", saved));
    CHECK(contains(message, field + ".size"));
    CHECK(contains(message, "corrupt the clones"));
    CHECK(contains(message, image));
    overwrite(image, std::string(before.size, 'x'));
    set_mtime(image, before.mtime_ns + 5'000'000'000);
    CHECK(contains(refusal(check_images("/srv/warm", saved)), field + ".mtime_ns"));
    const std::string other = dir.write("other", std::string(before.size, 'x'));
    std::filesystem::last_write_time(other, std::filesystem::last_write_time(image));
    std::filesystem::rename(other, image);
    auto& stamp = *name == 'r' ? saved.root.stamp : saved.disks[0].stamp;
    stamp.mtime_ns = vmette::core::stamp_of(image).value().mtime_ns;
    CHECK(contains(refusal(check_images("/srv/warm", saved)), field + ".inode"));

    // With a digest the content decides.
    stamp.sha256 = vmette::core::sha256_of(std::string(before.size, 'x'));
    require_ok(check_images("/srv/warm", saved));
    stamp.sha256 = std::string(64, '0');
    CHECK(contains(refusal(check_images("/srv/warm", saved)), field + ".sha256"));
    std::filesystem::remove(image);
    CHECK(contains(refusal(check_images("/srv/warm", saved)), "No such file"));
  }
}

TEST_CASE("files that are gone, cut, or no files are refused by their name") {
  for (const std::string name : {"ram", "devices", "scratch", "disk2"}) {
    INFO(name);
    const TempDir dir;
    const std::string path = dir / "warm";
    const SnapshotManifest manifest = build_sample(dir, path);
    const std::string file = path + "/" + name;
    const auto size = std::filesystem::file_size(file);

    std::filesystem::resize_file(file, size - 1);
    const std::string cut = refusal(check_structure(path, manifest));
    CHECK(contains(cut, name + ": the manifest has " + std::to_string(size)));
    CHECK(contains(cut, std::to_string(size - 1)));
    std::filesystem::resize_file(file, size + 1);
    refusal(check_structure(path, manifest));
    std::filesystem::remove(file);
    CHECK(contains(refusal(check_structure(path, manifest)), name + ": is missing"));

    const std::string elsewhere = dir / "elsewhere";
    std::ofstream(elsewhere) << "";
    std::filesystem::resize_file(elsewhere, size);
    std::filesystem::create_symlink(elsewhere, file);
    CHECK(contains(refusal(check_structure(path, manifest)), name + ": is a link"));
    std::filesystem::remove(file);
    REQUIRE(mkfifo(file.c_str(), 0600) == 0);
    CHECK(contains(refusal(check_structure(path, manifest)), "regular file"));
    std::filesystem::remove(file);
    std::filesystem::create_directory(file);
    CHECK(contains(refusal(check_structure(path, manifest)), "regular file"));
  }
}

TEST_CASE("a device state that does not begin like one is refused") {
  const TempDir dir;
  const std::string path = dir / "warm";
  const SnapshotManifest manifest = build_sample(dir, path);
  overwrite(path + "/devices", "QEVN1234");
  CHECK(contains(refusal(check_structure(path, manifest)), "devices"));
}

TEST_CASE("one flipped bit is found by the digests, in every file that has one") {
  const TempDir dir;
  const std::string path = dir / "warm";
  const SnapshotManifest manifest = build_sample(dir, path, true);
  for (const auto& file : manifest.files) {
    INFO(file.name);
    REQUIRE(file.sha256.size() == 64);
    std::fstream stream(path + "/" + file.name, std::ios::in | std::ios::out | std::ios::binary);
    const auto flip = [&] {
      const auto at = static_cast<std::streamoff>(file.size / 2);
      stream.seekg(at);
      const int byte = stream.get();
      stream.seekp(at);
      stream.put(static_cast<char>(byte ^ 1));
      stream.flush();
    };
    flip();
    require_ok(check_structure(path, manifest));
    CHECK(contains(refusal(check_digests(path, manifest)), file.name + ": the manifest has"));
    flip();
    require_ok(check_digests(path, manifest));
  }
  const auto given_up =
      check_digests(path, manifest, [](const std::string&, uint64_t, uint64_t) { return false; });
  REQUIRE_FALSE(given_up);
  CHECK(given_up.error().code == Code::kCancelled);
}

TEST_CASE("memory of another size than the machine's is refused") {
  const TempDir dir;
  const std::string path = dir / "warm";
  SnapshotManifest manifest = build_sample(dir, path);
  manifest.memory_mib *= 2;
  CHECK(contains(refusal(check_structure(path, manifest)), "memory_mib: 64 MiB are 67108864"));
}
