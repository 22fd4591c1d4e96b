/// @file transfer.hpp
/// Files of a running machine as streams. Part of vmette.hpp, which has the conventions.
#ifndef VMETTE_TRANSFER_HPP
#define VMETTE_TRANSFER_HPP

#include <vmette/transfer.h>
#include <vmette/error.hpp>

#include <chrono>
#include <cstdint>

namespace vmette {

/// A file that is being read or written. Its destruction gives it up unless it is over. All methods
/// from any thread.
class Transfer {
 public:
  /// Takes ownership.
  explicit Transfer(vmette_transfer* raw) noexcept : ptr_(raw) {}

  [[nodiscard]] int fd() const noexcept { return vmette_transfer_fd(capi()); }
  [[nodiscard]] int take_fd() noexcept { return vmette_transfer_take_fd(capi()); }
  void close_fd() noexcept { vmette_transfer_close_fd(capi()); }
  [[nodiscard]] int done_fd() const noexcept { return vmette_transfer_done_fd(capi()); }
  [[nodiscard]] result<void> wait(std::chrono::milliseconds timeout = kForever) const noexcept {
    return detail::check(vmette_transfer_wait(capi(), timeout.count()));
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return vmette_transfer_bytes(capi()); }
  void cancel() noexcept { vmette_transfer_cancel(capi()); }

  [[nodiscard]] vmette_transfer* capi() const noexcept { return ptr_.get(); }
  [[nodiscard]] vmette_transfer* capi_release() noexcept { return ptr_.release(); }

 private:
  detail::Handle<vmette_transfer, vmette_transfer_delete> ptr_;
};

}  // namespace vmette

#endif
