// Real machines for tests, through the public API.
#pragma once

#include <poll.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vmette.hpp>

#include "support/catch.h"
#include "support/processes.h"

namespace vmette_test {

// No wait in a test is longer.
constexpr std::chrono::milliseconds kDeadline{120'000};

// REQUIRE that says what went wrong.
template <class T>
T must(vmette::result<T> outcome) {
  if (!outcome) FAIL(outcome.error().message() << "\nconsole:\n" << outcome.error().console());
  if constexpr (!std::is_void_v<T>) return std::move(outcome).value();
}

inline vmette::Config capturing(const char* line) {
  vmette::Config config;
  config.set_exec(line).set_capture_output(true);
  return config;
}

inline vmette::Session created(const vmette::Config& config) {
  mark_helpers();
  return must(vmette::Session::create(config));
}

inline vmette::Session launched(const vmette::Config& config) {
  auto session = created(config);
  must(session.launch());
  return session;
}

inline vmette::Session started(const vmette::Config& config) {
  auto session = launched(config);
  must(session.wait_ready(kDeadline));
  return session;
}

// A machine that waits for commands.
inline vmette::Session ready() {
  return started(vmette::Config());
}

// Runs the configuration's command to the session's end.
inline vmette::Session finished(const vmette::Config& config) {
  auto session = started(config);
  must(session.wait(kDeadline));
  return session;
}

inline std::string text(std::string_view view) {
  return std::string(view);
}

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

// Runs one command in a ready machine and waits for it.
inline Ran run_in(vmette::Session& session, const vmette::Exec& exec) {
  const auto process = must(session.exec(exec));
  must(process.wait(kDeadline));
  const auto output = must(process.output());
  return {process.exit_code(), text(output.stdout_text()), text(output.stderr_text())};
}

inline Ran run_in(vmette::Session& session, const char* line) {
  return run_in(session, vmette::Exec(line));
}

// Whether the descriptor becomes readable in time.
inline bool readable(int fd, std::chrono::milliseconds deadline = kDeadline) {
  pollfd item{fd, POLLIN, 0};
  return ::poll(&item, 1, static_cast<int>(deadline.count())) == 1;
}

// Looks again until `holds()` is true. For what no descriptor tells.
template <class Holds>
bool eventually(Holds holds, std::chrono::milliseconds deadline = kDeadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

// The helper of the one machine that this process runs.
inline Watched only_helper() {
  // Its environment, by which it is known, shows a moment after its exec.
  std::vector<Watched> helpers;
  REQUIRE(eventually([&] { return (helpers = own_helpers()).size() == 1; }));
  return std::move(helpers[0]);
}

// The hypervisor of that helper, once it is there.
inline Watched only_hypervisor(const Watched& helper) {
  std::vector<Watched> children;
  REQUIRE(eventually([&] { return (children = children_of(helper.pid())).size() == 1; }));
  return std::move(children[0]);
}

// An error of the start, as a caller sees it.
inline vmette::Error start_error(const vmette::Config& config) {
  auto session = created(config);
  auto outcome = session.launch();
  if (outcome) outcome = session.wait_ready(kDeadline);
  REQUIRE_FALSE(outcome);
  CHECK(session.state() == vmette::State::kEnded);
  CHECK(session.end() == vmette::End::kError);
  CHECK(session.exit_code() == 1);
  CHECK(own_helpers().empty());
  return outcome.error();
}

}  // namespace vmette_test
