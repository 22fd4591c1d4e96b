// A snapshot without a machine: a manifest with something in every field, and files that fit it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/snapshot/checks.h"
#include "core/snapshot/manifest.h"
#include "core/snapshot/snapshot_dir.h"
#include "support/catch.h"
#include "support/temp_dir.h"

namespace vmette_test {

inline constexpr uint64_t kSampleMib = 32;

// Fails the test with the error's message.
template <class Result>
void require_ok(const Result& result) {
  if (!result) FAIL(result.error().message);
}

// What the manifest names outside the snapshot is made below `host`.
inline vmette::core::SnapshotManifest sample_manifest(const TempDir& host) {
  using namespace vmette::core;
  SnapshotManifest manifest;
  manifest.created_at = "2026-11-29T21:18:36.042Z";
  manifest.identity = {"qemu", "7.2.22", "microvm", "tcg", "x86_64", "max 100%", 2'400'000};
  manifest.protocol = 1;
  manifest.kernel = boot_file(host.write("vmlinux", "kernel")).value();
  manifest.kernel.stamp.sha256 = std::string(64, 'a');
  manifest.initramfs = boot_file(host.write("initramfs", "initramfs")).value();
  manifest.cmdline = "quiet tsc_early_khz=2400000";
  manifest.vcpus = 2;
  manifest.memory_mib = kSampleMib;
  const std::string root = host.write("root.img", "root");
  manifest.root = {true, "squashfs", root, stamp_of(root).value(), true};
  const std::string disk = host.write("data.img", "data");
  manifest.disks = {{"data", disk, true, "ext4", stamp_of(disk).value(), ""},
                    {"state", disk, false, "", stamp_of(disk).value(), "disk2"}};
  manifest.scratch = SnapshotScratch{64, kScratchFile};
  manifest.shares = {{"work", "/srv/work", "/mnt/work", true}};
  manifest.resume_shares = 2;
  manifest.switch_root = true;
  manifest.hostname = "vmette";
  manifest.env = {{"KEY", "value"}, {"BYTES", std::string("\xff\0%41\n", 6)}};
  manifest.image_env = {{"PATH", "/bin"}};
  manifest.files = {{kDevicesFile, 8, ""},
                    {"disk2", 4, ""},
                    {kRamFile, kSampleMib << 20, std::string(64, 'b')},
                    {kScratchFile, 7, ""}};
  manifest.pause_us = 12'345;
  manifest.digest = manifest_digest(manifest);
  return manifest;
}

// The host that saved it.
inline vmette::core::HostIdentity sample_host(const vmette::core::SnapshotManifest& manifest) {
  return {manifest.identity, manifest.kernel, manifest.initramfs, manifest.protocol};
}

// What the helper writes for a save.
inline void write_files(const std::filesystem::path& directory) {
  std::filesystem::create_directory(directory);
  const auto write = [&](const char* name, std::string_view bytes) {
    std::ofstream(directory / name, std::ios::binary) << bytes;
  };
  write("devices", std::string_view("QEVM\0\0\0\3", 8));
  write("disk2", "disk");
  write("scratch", "scratch");
  write("ram", "");
  std::filesystem::resize_file(directory / "ram", kSampleMib << 20);
}

// A whole snapshot at `path`; returns its manifest as it was read back.
inline vmette::core::SnapshotManifest build_sample(const TempDir& host, const std::string& path,
                                                   bool digests = false) {
  auto draft = vmette::core::SnapshotDraft::create(path);
  require_ok(draft);
  write_files(draft.value().directory());
  require_ok(draft.value().commit(sample_manifest(host), digests));
  auto manifest = vmette::core::read_manifest(path);
  require_ok(manifest);
  return manifest.value();
}

inline void overwrite(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

}  // namespace vmette_test
