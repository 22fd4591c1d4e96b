// A snapshot that the tests of a program share, and what they look at.
#pragma once

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "session/machine.h"
#include "support/temp_dir.h"

namespace vmette_test {

// 128 MiB, no root file system: the smallest machine that is worth saving.
inline vmette::Config small_machine() {
  vmette::Config config;
  config.set_mem_mib(128).set_snapshottable(true);
  return config;
}

// A counter that a program in the machine keeps writing, for ever.
inline constexpr const char* kCounter =
    "(i=0; while :; do i=$((i+1)); echo $i >/tmp/counter.new; mv /tmp/counter.new /tmp/counter; "
    "sleep 0.01; done) >/dev/null 2>&1 &";

class Saved {
 public:
  Saved() {
    mark_helpers();
    auto config = small_machine();
    config.set_exec(std::string(kCounter) +
                    " echo warm >/tmp/warm; until [ -s /tmp/counter ]; do sleep 0.01; done");
    config.add_env("FROM_BUILD", "yes").set_snapshot_digests(true);
    config.set_resume_shares(1);
    snapshot_ = std::make_unique<vmette::Snapshot>(must(vmette::Snapshot::build(config, path())));
  }
  [[nodiscard]] std::string path() const { return dir_ / "saved"; }
  [[nodiscard]] const vmette::Snapshot& snapshot() const { return *snapshot_; }

 private:
  TempDir dir_;
  std::unique_ptr<vmette::Snapshot> snapshot_;
};

// Built once for the tests of a program.
inline const Saved& saved() {
  static const Saved one;
  return one;
}

// What a shell line prints in the machine, without the last line's end.
inline std::string says(vmette::Session& session, const std::string& line) {
  Ran ran = run_in(session, vmette::Exec(line));
  INFO(line << "\n" << ran.err);
  CHECK(ran.code == 0);
  while (!ran.out.empty() && ran.out.back() == '\n') ran.out.pop_back();
  return ran.out;
}

inline nlohmann::json manifest_at(const std::string& snapshot) {
  std::ifstream in(snapshot + "/manifest.json");
  return nlohmann::json::parse(in);
}

}  // namespace vmette_test
