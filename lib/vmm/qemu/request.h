#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "vmm/qemu/failure.h"

namespace vmette::vmm {

// One line of the library's.
struct Request {
  nlohmann::json id;
  std::string op;
  nlohmann::json body;
};

Failure bad_request(const std::string& message);

// A string in a request; empty when it is not there. Throws bad_request when it is something else.
std::string text_field(const nlohmann::json& body, const char* key);

bool is_forced_stop(const Request& request);

}  // namespace vmette::vmm
