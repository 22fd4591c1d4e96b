#include "core/snapshot/manifest.h"

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/snapshot/digest.h"
#include "snapshot/sample.h"
#include "support/catch.h"
#include "support/temp_dir.h"
#include "support/text.h"

using nlohmann::json;
using vmette::core::Code;
using vmette::core::parse_manifest;
using vmette::core::read_manifest;
using vmette::core::SnapshotManifest;
using vmette::core::to_text;
using vmette_test::contains;
using vmette_test::require_ok;
using vmette_test::sample_manifest;
using vmette_test::TempDir;

namespace {

// The message that the text is refused with.
std::string refusal(const std::string& text) {
  const auto manifest = parse_manifest(text, "/srv/warm");
  REQUIRE_FALSE(manifest);
  CHECK(manifest.error().code == Code::kRestoreFailed);
  return manifest.error().message;
}

// Of the sample after a change.
std::string refusal_after(const std::function<void(json&)>& change) {
  const TempDir host;
  json object = json::parse(to_text(sample_manifest(host)));
  change(object);
  return refusal(object.dump());
}

}  // namespace

TEST_CASE("SHA-256 of strings and files are the known ones") {
  const TempDir dir;
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CHECK(vmette::core::sha256_of("abc") == abc);
  CHECK(vmette::core::sha256_of("") ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(vmette::core::sha256_of_file(dir.write("abc", "abc")).value() == abc);
  const std::string million(1'000'000, 'a');
  CHECK(vmette::core::sha256_of_file(dir.write("million", million)).value() ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("the digest of a file tells how far it is and can be given up") {
  const TempDir dir;
  const std::string file = dir.write("file", std::string(600'000, 'x'));
  uint64_t last = 0;
  const auto watch = [&](const std::string& step, uint64_t done, uint64_t total) {
    CHECK(contains(step, "file"));
    CHECK(total == 600'000);
    last = done;
    return true;
  };
  require_ok(vmette::core::sha256_of_file(file, watch));
  CHECK(last == 600'000);
  const auto given_up = vmette::core::sha256_of_file(
      file, [](const std::string&, uint64_t done, uint64_t) { return done == 0; });
  REQUIRE_FALSE(given_up);
  CHECK(given_up.error().code == Code::kCancelled);
  const auto missing = vmette::core::sha256_of_file(dir / "missing");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().error_number == ENOENT);
}

TEST_CASE("a manifest is read as it was written, bytes that are no text included") {
  const TempDir host;
  const SnapshotManifest manifest = sample_manifest(host);
  const auto read = parse_manifest(to_text(manifest), "/srv/warm");
  require_ok(read);
  CHECK(read.value() == manifest);
  CHECK(read.value().env[1].second == std::string("\xff\0%41\n", 6));
  CHECK(vmette::core::manifest_digest(read.value()) == manifest.digest);
}

TEST_CASE("a manifest without a scratch disk, an initramfs or a root is one") {
  const TempDir host;
  SnapshotManifest manifest = sample_manifest(host);
  manifest.scratch.reset();
  manifest.initramfs = {};
  manifest.root = {};
  manifest.disks.clear();
  manifest.digest = vmette::core::manifest_digest(manifest);
  const auto read = parse_manifest(to_text(manifest), "/srv/warm");
  require_ok(read);
  CHECK(read.value() == manifest);
}

TEST_CASE("the time of a manifest has its form") {
  const std::string now = vmette::core::rfc3339_now();
  REQUIRE(now.size() == 24);
  CHECK(now[10] == 'T');
  CHECK(now[23] == 'Z');
}

TEST_CASE("every key of a manifest must be there, and no other") {
  const TempDir host;
  const json whole = json::parse(to_text(sample_manifest(host)));
  const json flat = whole.flatten();
  std::set<std::string> objects = {""};
  for (const auto& leaf : flat.items())
    for (json::json_pointer at(leaf.key()); !at.empty(); at = at.parent_pointer())
      if (whole.at(at).is_object()) objects.insert(at.to_string());
  CHECK(objects.size() > 8);
  for (const std::string& object : objects) {
    const json::json_pointer at(object);
    for (const auto& item : whole.at(at).items()) {
      INFO(object << "/" << item.key());
      json without = whole;
      without.at(at).erase(item.key());
      const std::string missing = refusal(without.dump());
      CHECK(contains(missing, item.key() + ": is missing"));
      CHECK(contains(missing, "/srv/warm"));
    }
    json with = whole;
    with.at(at)["surplus"] = 1;
    CHECK(contains(refusal(with.dump()), "surplus: is not known"));
  }
}

TEST_CASE("a value of another type is refused by its key") {
  const TempDir host;
  const json whole = json::parse(to_text(sample_manifest(host)));
  const json flat = whole.flatten();
  for (const auto& leaf : flat.items()) {
    INFO(leaf.key());
    const json::json_pointer at(leaf.key());
    const std::string key = at.back();
    for (const json& other : {json("text"), json(-1), json(1.5), json(true), json::array({1}),
                              json::object({{"a", 1}}), json(nullptr)}) {
      if (other.type() == leaf.value().type()) continue;
      if (key == "mtime_ns" && other == json(-1)) continue;
      INFO(other.dump());
      json changed = whole;
      changed.at(at) = other;
      const std::string message = refusal(changed.dump());
      // What stands in a pair has no key of its own.
      const bool in_pair = contains(leaf.key(), "env/");
      CHECK((in_pair || contains(message, key)));
    }
  }
}

TEST_CASE("another format is refused by its number, whatever else is in it") {
  CHECK(contains(refusal("{\"format\": 2, \"new\": {}}"), "format: 2"));
  CHECK(contains(refusal("{\"format\": 0}"), "format: 0"));
  CHECK(contains(refusal("{\"format\": \"1\"}"), "format: must be a whole number"));
  CHECK(contains(refusal("{}"), "format: is missing"));
}

TEST_CASE("what is no JSON, too deep, doubled or too large is refused") {
  const TempDir host;
  const std::string whole = to_text(sample_manifest(host));
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("null"), whole + "{}", whole.substr(1),
        whole.substr(0, whole.size() / 2), std::string(100'000, '['), std::string("\0", 1)})
    refusal(text);
  std::string doubled = whole;
  doubled.insert(1, "\"format\": 1,");
  CHECK(contains(refusal(doubled), "format: is there twice"));
  std::string deep = "1";
  for (int i = 0; i < 10'000; ++i) deep = "{\"a\":" + deep + "}";
  CHECK(contains(refusal(deep), "nested"));
  CHECK(contains(refusal(whole + std::string(size_t{4} << 20, ' ')), "larger"));
}

TEST_CASE("a file's name never leads out of the snapshot") {
  for (const char* name : {"../ram", "/etc/passwd", "", ".", "..", "ram/", "disk", "disk01",
                           "disk1234", "disk-1", "disk1/..", "manifest.json", "RAM", "ram\n"}) {
    INFO(name);
    CHECK(contains(refusal_after([&](json& m) { m["files"][2]["name"] = name; }), "files[2].name"));
    refusal_after([&](json& m) { m["disks"][1]["file"] = name; });
    refusal_after([&](json& m) { m["scratch"]["file"] = name; });
  }
  refusal_after([](json& m) { m["files"][2]["name"] = std::string("ram\0x", 5); });
  for (const char* path : {"relative", "", "../root.squashfs", "root.squashfs"}) {
    INFO(path);
    refusal_after([&](json& m) { m["root"]["path"] = path; });
    if (*path != 'r') refusal_after([&](json& m) { m["disks"][0]["path"] = path; });
  }
}

TEST_CASE("values that no machine has are refused by their key") {
  const std::vector<std::pair<std::string, json>> wrong = {
      {"/vcpus", 0},
      {"/vcpus", 256},
      {"/memory_mib", 31},
      {"/memory_mib", uint64_t{1} << 44},
      {"/resume_shares", 24},
      {"/created_at", "yesterday"},
      {"/digest", "abc"},
      {"/kernel/sha256", std::string(64, 'A')},
      {"/root/sha256", "x"},
      {"/root/fstype", ""},
      {"/root/image", false},
      {"/scratch/mib", 1},
      {"/disks/0/read_only", false},
      {"/disks/1/read_only", true},
      {"/disks/0/sha256", "x"},
      {"/files/0/sha256", "x"},
      {"/files/0/name", "ram"},
      {"/hostname", "%"},
      {"/hostname", "%zz"},
      {"/hostname", "%41"},
      {"/hostname", "100%25\xc3\xa4"},
  };
  for (const auto& item : wrong) {
    INFO(item.first << " " << item.second.dump());
    const json::json_pointer at(item.first);
    const std::string message =
        refusal_after([&](json& manifest) { manifest.at(at) = item.second; });
    CHECK(contains(message, "manifest.json: "));
  }
  refusal_after([](json& manifest) { manifest["files"].erase(2); });
  refusal_after([](json& manifest) { manifest["env"][0] = json::array({"only"}); });
}

TEST_CASE("no directory or one without a manifest is no snapshot") {
  const TempDir dir;
  for (const std::string& path : {dir / "missing", dir.path().string()}) {
    const auto manifest = read_manifest(path);
    REQUIRE_FALSE(manifest);
    CHECK(manifest.error().code == Code::kSnapshot);
    CHECK(contains(manifest.error().message, path));
  }
}

TEST_CASE("a manifest that is a link, a directory or a FIFO is not read") {
  const TempDir dir;
  const std::string manifest = dir / "manifest.json";
  const std::string elsewhere = dir.write("elsewhere", to_text(sample_manifest(dir)));
  std::filesystem::create_symlink(elsewhere, manifest);
  CHECK_FALSE(read_manifest(dir.path()));
  std::filesystem::remove(manifest);
  std::filesystem::create_directory(manifest);
  CHECK_FALSE(read_manifest(dir.path()));
  std::filesystem::remove(manifest);
  REQUIRE(mkfifo(manifest.c_str(), 0600) == 0);
  CHECK_FALSE(read_manifest(dir.path()));
}
