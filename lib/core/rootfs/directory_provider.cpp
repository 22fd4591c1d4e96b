#include <sys/stat.h>

#include <cstdlib>

#include "core/rootfs/builtin_providers.h"
#include "core/rootfs/root_path.h"

namespace vmette::core {
namespace {

// Whether such a directory exists or not: who writes ./x means a path.
bool is_path(const std::string& spec) {
  for (const char* start : {"/", "./", "../", "~/"})
    if (spec.rfind(start, 0) == 0) return true;
  return spec == "." || spec == ".." || spec == "~";
}

bool is_directory(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<std::string> expanded(const std::string& spec) {
  if (spec[0] != '~' || !is_path(spec)) return spec;
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): read only
  if (home == nullptr || home[0] == '\0')
    return Error(Code::kInvalidSpec, "~ needs HOME, which is not set; write the full path",
                 "rootfs");
  return home + spec.substr(1);
}

class DirectoryProvider final : public Provider {
 public:
  DirectoryProvider()
      : Provider("dir",
                 "/PATH, ./PATH, ../PATH, ~/PATH or the relative path of an existing directory") {}

  [[nodiscard]] bool quick() const override { return true; }

  [[nodiscard]] Result<bool> matches(const std::string& spec) const override {
    return is_path(spec) || is_directory(spec);
  }

  [[nodiscard]] Result<RootfsArtifact> provide(const std::string& spec,
                                               const ProviderContext& /*context*/) const override {
    auto path = expanded(spec);
    if (!path) return path.error();
    RootfsArtifact artifact;
    artifact.path = absolute_path(path.value());
    BOOST_OUTCOME_TRYV(check_root(artifact));
    return artifact;
  }
};

}  // namespace

std::shared_ptr<const Provider> directory_provider() {
  return std::make_shared<DirectoryProvider>();
}

}  // namespace vmette::core
