#include "core/assets.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

#include "locations.h"
#include "wire/codec.h"

namespace vmette::core {
namespace {

namespace fs = std::filesystem;
using json = nlohmann::json;

// The directory of the file that holds this code: the shared library, or the program it is linked
// into. Everything installed is found relative to it, so that a prefix can be moved.
fs::path own_directory() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&own_directory), &info) == 0 ||
      info.dli_fname == nullptr)
    return {};
  std::error_code error;
  const fs::path file = fs::canonical(info.dli_fname, error);
  return error ? fs::path() : file.parent_path();
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read only
  return value == nullptr ? std::string() : value;
}

// The build's layout first: a library in a build tree belongs to the assets beside it.
std::vector<fs::path> asset_directories(const Config& config) {
  if (!config.assets.empty()) return {config.assets};
  if (const std::string named = environment("VMETTE_ASSETS_DIR"); !named.empty()) return {named};
  const fs::path own = own_directory();
  std::vector<fs::path> found{own / ".." / "guest-initramfs", own / kAssetsFromLib};
  found.insert(found.end(), std::begin(kInstalledAssets), std::end(kInstalledAssets));
  return found;
}

std::vector<fs::path> helper_candidates(const Config& config) {
  if (!config.helper.empty()) return {config.helper};
  if (const std::string named = environment("VMETTE_VMM"); !named.empty()) return {named};
  const fs::path own = own_directory();
  std::vector<fs::path> found{own / "vmm" / "qemu" / "vmette-vmm",
                              own / kHelperFromLib / "vmette-vmm"};
  for (const char* folder : kInstalledHelpers) found.push_back(fs::path(folder) / "vmette-vmm");
  return found;
}

std::string list(const std::vector<fs::path>& paths) {
  std::string text;
  for (const fs::path& path : paths)
    text += (text.empty() ? "" : ", ") + path.lexically_normal().string();
  return text;
}

Error bad_set(const fs::path& manifest, const std::string& what) {
  return {Code::kNotFound,
          one_line(fmt::format("boot assets: {}: {}; build or install the guest assets again",
                               manifest.string(), what)),
          "assets"};
}

Result<void> check_member(const fs::path& manifest, const json& entry, const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error) return bad_set(manifest, file.filename().string() + " is missing");
  if (!entry.contains("size") || entry["size"] != size)
    return bad_set(manifest, file.filename().string() + " is not the file it describes");
  return success();
}

// Reads one set's manifest; the fields of `files` that are still empty are filled from it.
Result<void> use_set(const fs::path& directory, BootFiles& files) {
  const fs::path path = directory / "manifest.json";
  std::ifstream in(path);
  const json manifest = json::parse(in, nullptr, false);
  if (!manifest.is_object()) return bad_set(path, "not a manifest");
  try {
    const auto generation = manifest.at("agent").at("generation").get<uint32_t>();
    if (generation < wire::kOldestGeneration || generation > wire::kGeneration)
      return bad_set(path,
                     fmt::format("its agent speaks protocol generation {}, this library {} to {}",
                                 generation, wire::kOldestGeneration, wire::kGeneration));
    const fs::path kernel = directory / manifest.at("kernel").at("file").get<std::string>();
    const fs::path initramfs = directory / manifest.at("initramfs").at("file").get<std::string>();
    if (files.kernel.empty()) {
      BOOST_OUTCOME_TRYV(check_member(path, manifest["kernel"], kernel));
      files.kernel = fs::absolute(kernel).lexically_normal();
      files.kernel_sha256 = manifest["kernel"].value("sha256", "");
    }
    if (files.initramfs.empty()) {
      BOOST_OUTCOME_TRYV(check_member(path, manifest["initramfs"], initramfs));
      files.initramfs = fs::absolute(initramfs).lexically_normal();
      files.initramfs_sha256 = manifest["initramfs"].value("sha256", "");
    }
  } catch (const std::exception& error) {
    return bad_set(path, error.what());
  }
  return success();
}

}  // namespace

const char* guest_arch() {
#if defined(__aarch64__)
  return "aarch64";
#else
  return "x86_64";
#endif
}

Result<BootFiles> find_boot_files(const Config& config) {
  std::error_code error;
  BootFiles files{config.kernel, config.initramfs, {}, {}, {}};
  if (files.kernel.empty() || files.initramfs.empty()) {
    const auto directories = asset_directories(config);
    fs::path set;
    for (const fs::path& directory : directories) {
      const fs::path arch = directory / guest_arch();
      if (fs::exists(arch / "tuned" / "manifest.json", error))
        set = arch / "tuned";
      else if (fs::exists(arch / "manifest.json", error))
        set = arch;
      if (!set.empty()) break;
    }
    if (set.empty())
      return Error(Code::kNotFound,
                   one_line(fmt::format("boot assets: no {}/manifest.json in {}; install the guest "
                                        "assets or name their directory in VMETTE_ASSETS_DIR",
                                        guest_arch(), list(directories))),
                   "assets");
    BOOST_OUTCOME_TRYV(use_set(set, files));
  }
  files.kernel = fs::absolute(files.kernel, error);
  files.initramfs = fs::absolute(files.initramfs, error);
  auto helper = find_helper(config);
  if (!helper) return helper.error();
  files.helper = std::move(helper.value());
  return files;
}

Result<std::string> find_helper(const Config& config) {
  std::error_code error;
  const auto helpers = helper_candidates(config);
  for (const fs::path& helper : helpers) {
    if (access(helper.c_str(), X_OK) != 0) continue;
    return fs::absolute(helper, error).lexically_normal().string();
  }
  return Error(Code::kNotFound,
               one_line(fmt::format("helper: no program vmette-vmm at {}; install vmette whole or "
                                    "name the program in VMETTE_VMM",
                                    list(helpers))),
               "helper");
}

}  // namespace vmette::core
