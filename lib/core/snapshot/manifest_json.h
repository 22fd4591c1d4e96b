#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/error.h"
#include "core/snapshot/manifest.h"

namespace vmette::core {

// All of the manifest but `format` and `digest`.
nlohmann::json manifest_to_json(const SnapshotManifest& manifest);

// The same back, with `format` and `digest`. Returns the first thing that is wrong, led by its key;
// empty when all is well.
std::string manifest_from_json(const nlohmann::json& object, SnapshotManifest& manifest);

// JSON from a file that anybody may have written: nothing after it, no key twice in an object, no
// deep nesting. Returns what is wrong, or empty.
std::string parse_strictly(const std::string& text, nlohmann::json& value);

}  // namespace vmette::core
