#include "core/rootfs/builtin_providers.h"
#include "core/rootfs/file_url.h"
#include "core/rootfs/root_path.h"

namespace vmette::core {
namespace {

class ImageProvider final : public Provider {
 public:
  explicit ImageProvider(const std::string& fstype)
      : Provider(fstype, fstype + "+file:///PATH"), prefix_(fstype + "+file://") {}

  [[nodiscard]] bool quick() const override { return true; }

  [[nodiscard]] Result<bool> matches(const std::string& spec) const override {
    return spec.rfind(prefix_, 0) == 0;
  }

  [[nodiscard]] Result<RootfsArtifact> provide(const std::string& spec,
                                               const ProviderContext& /*context*/) const override {
    auto path = path_of_file_url(prefix_, spec);
    if (!path) return path.error();
    RootfsArtifact artifact;
    artifact.path = std::move(path.value());
    artifact.fstype = name();
    BOOST_OUTCOME_TRYV(check_root(artifact));
    return artifact;
  }

 private:
  const std::string prefix_;
};

}  // namespace

std::shared_ptr<const Provider> image_provider(const std::string& fstype) {
  return std::make_shared<ImageProvider>(fstype);
}

}  // namespace vmette::core
