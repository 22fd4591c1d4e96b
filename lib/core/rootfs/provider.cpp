#include "core/rootfs/provider.h"

#include "core/rootfs/cache_dir.h"

namespace vmette::core {

Result<std::string> ProviderContext::cache_dir() const {
  auto root = cache_root(config_);
  if (!root) return root.error();
  const std::string own = root.value() + "/" + provider_;
  BOOST_OUTCOME_TRYV(make_private_directory(own));
  return own;
}

Result<void> ProviderContext::report(const std::string& step, uint64_t done, uint64_t total) const {
  if (!config_.progress || config_.progress(step, done, total)) return success();
  return Error(Code::kCancelled, "the caller gave up", "rootfs");
}

}  // namespace vmette::core
