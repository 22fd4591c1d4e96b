#include "core/run.h"

#include "capi/handles.h"

using vmette::capi::guarded;
using vmette::capi::null_argument;
using vmette::core::Result;

extern "C" {

vmette_error* vmette_run(const vmette_config* config, vmette_output** out) {
  if (config == nullptr) return null_argument(__func__, "config");
  if (out == nullptr) return null_argument(__func__, "out");
  return guarded([&]() -> Result<void> {
    auto output = vmette::core::run(config->config);
    if (!output) return output.error();
    *out = new vmette_output{std::move(output.value())};
    return vmette::core::success();
  });
}

void vmette_run_stop() {
  vmette::core::stop_run();
}

}  // extern "C"
