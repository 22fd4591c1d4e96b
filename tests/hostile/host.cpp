#include "host.h"

#include <nlohmann/json.hpp>
#include <thread>

#include "support/catch.h"
#include "support/footprint.h"

namespace vmette_test {
namespace {

// A sanitizer starts a thread of its own with the first one of the program: now, before any is
// counted.
[[maybe_unused]] const bool kThreadsStarted = [] {
  std::thread([] {}).join();
  return true;
}();

}  // namespace

vmette::Session launch(std::string_view script, std::chrono::milliseconds ready) {
  vmette::Config config;
  config.set_helper(VMETTE_TEST_HELPER)
      .set_kernel(VMETTE_TEST_HELPER)
      .set_initramfs(VMETTE_TEST_HELPER)
      .set_cmdline(std::string(script))
      .set_ready_timeout_ms(static_cast<std::uint32_t>(ready.count()));
  auto session = vmette::Session::create(config);
  REQUIRE(session);
  REQUIRE(session.value().launch());
  return std::move(session).value();
}

vmette::Session ready_session(std::string_view script) {
  vmette::Session session = launch(script, std::chrono::milliseconds(kHang));
  const auto ready = session.wait_ready();
  INFO((ready ? std::string() : std::string(ready.error().message())));
  REQUIRE(ready);
  return session;
}

vmette::Process exec_with_pipes(vmette::Session& session) {
  vmette::Exec exec("command");
  exec.set_stdin(vmette::Stdio::kPipe)
      .set_stdout(vmette::Stdio::kPipe)
      .set_stderr(vmette::Stdio::kPipe);
  auto process = session.exec(exec);
  REQUIRE(process);
  return std::move(process).value();
}

std::string end_of(vmette::Session& session) {
  return session.wait(kHang) ? std::string(session.end_message()) : "HUNG";
}

bool is_one_clear_line(std::string_view text) {
  if (text.empty() || text.size() > 4096) return false;
  for (const char c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) return false;
  try {
    return !nlohmann::json(text).dump().empty();
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

NothingIsLeft::NothingIsLeft()
    : descriptors_(open_descriptors()), children_(child_processes()), threads_(threads()) {}

bool NothingIsLeft::holds() const {
  return open_descriptors() == descriptors_ && child_processes() == children_ &&
         threads() == threads_;
}

}  // namespace vmette_test
