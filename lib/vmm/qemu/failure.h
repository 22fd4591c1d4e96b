#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace vmette::vmm {

// Why a request failed: becomes the `error` of its answer (docs/vmm-protocol.md, "Errors"). The
// stage of that answer is the request's own, or `request` for the code bad_request.
struct Failure : std::runtime_error {
  Failure(std::string kind, const std::string& message)
      : std::runtime_error(message), code(std::move(kind)) {}

  std::string code;
};

}  // namespace vmette::vmm
