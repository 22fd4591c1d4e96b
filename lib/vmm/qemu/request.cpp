#include "vmm/qemu/request.h"

#include <fmt/format.h>

namespace vmette::vmm {

using json = nlohmann::json;

Failure bad_request(const std::string& message) {
  return {"bad_request", message};
}

std::string text_field(const json& body, const char* key) {
  const auto at = body.find(key);
  if (at == body.end()) return {};
  if (!at->is_string()) throw bad_request(fmt::format("{}: must be a string", key));
  return at->get<std::string>();
}

bool is_forced_stop(const Request& request) {
  return request.op == "stop" && request.body.value("force", json()) == true;
}

}  // namespace vmette::vmm
