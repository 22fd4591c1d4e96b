/// @file copy.hpp
/// Directory trees between host and machine. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_COPY_HPP
#define VMETTE_COPY_HPP

#include <vmette/copy.h>
#include <vmette/error.hpp>
#include <vmette/file.hpp>
#include <vmette/provider.hpp>

#include <chrono>
#include <cstdint>

namespace vmette {

/// How a tree is copied, see copy.h.
struct CopyOptions {
  FileFlags flags = FileFlags::kNone;
  /// Hears the path that is being copied and the bytes so far.
  Progress progress;
  /// Of content, from the machine only.
  std::uint64_t most_bytes = UINT64_MAX;
  std::chrono::milliseconds timeout = kForever;
};

/// How much was copied. Never changes; any thread.
class Copied {
 public:
  /// Takes ownership.
  explicit Copied(vmette_copied* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] std::uint64_t entries() const noexcept { return vmette_copied_entries(capi()); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return vmette_copied_bytes(capi()); }
  [[nodiscard]] std::uint64_t skipped() const noexcept { return vmette_copied_skipped(capi()); }
  [[nodiscard]] vmette_copied* capi() const noexcept { return ptr_.get(); }

 private:
  detail::Handle<vmette_copied, vmette_copied_delete> ptr_;
};

}  // namespace vmette

#endif
