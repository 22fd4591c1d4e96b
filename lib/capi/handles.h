// What stands behind the plain handles of vmette.h, and the one way errors leave the library.
#pragma once

#include <new>
#include <string>

#include "core/config.h"
#include "core/end.h"
#include "core/error.h"
#include "vmette.h"

struct vmette_error {
  vmette::core::Error error;
};

struct vmette_config {
  vmette::core::Config config;
};

struct vmette_output {
  vmette::core::RunOutput output;
};

struct vmette_buffer {
  std::string data;
};

namespace vmette::capi {

// An owned error; a fixed one when not even that can be allocated.
vmette_error* to_c(core::Error error) noexcept;
core::Error null_error(const char* function, const char* argument);
vmette_error* null_argument(const char* function, const char* argument) noexcept;
// The handle belongs to a parent of this process.
vmette_error* inherited_argument(const char* function, const char* argument) noexcept;
// `value` is not one of the named values 0 to `last`.
vmette_error* bad_choice(const char* function, const char* argument, int32_t value,
                         int32_t last) noexcept;

// The funnel: runs `body`, which returns core::Result<void>, and lets no exception out.
template <class Body>
vmette_error* guarded(Body&& body) noexcept {
  try {
    core::Result<void> result = body();
    return result ? nullptr : to_c(std::move(result).error());
  } catch (const std::bad_alloc&) {
    return to_c(core::Error(core::Code::kNoMemory, "memory ran out"));
  } catch (const std::exception& error) {
    return to_c(core::Error(core::Code::kInternal, core::one_line(error.what())));
  }
}

// Runs a getter that may allocate; `otherwise` when it cannot.
template <class T, class Body>
T value_or(T otherwise, Body&& body) noexcept {
  try {
    return body();
  } catch (const std::exception&) {
    return otherwise;
  }
}

}  // namespace vmette::capi
