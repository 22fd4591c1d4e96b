#include "machine.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "support/catch.h"

namespace vmette_test {

using std::chrono::milliseconds;

vmette::Session boot(vmette::Config& config) {
  std::signal(SIGPIPE, SIG_IGN);
  config.set_ready_timeout_ms(120'000);
  auto session = vmette::Session::create(config);
  REQUIRE(session);
  const auto started = session.value().start();
  INFO((started ? std::string() : std::string(started.error().message())));
  REQUIRE(started);
  return std::move(session).value();
}

vmette::Session& machine() {
  static std::unique_ptr<vmette::Session> shared;
  if (!shared || shared->state() != vmette::State::kReady) {
    vmette::Config config;
    config.set_mem_mib(256);
    shared = std::make_unique<vmette::Session>(boot(config));
  }
  return *shared;
}

vmette::Process start(vmette::Session& session, const vmette::Exec& exec) {
  auto process = session.exec(exec);
  INFO((process ? std::string() : std::string(process.error().message())));
  REQUIRE(process);
  return std::move(process).value();
}

Ran run(vmette::Session& session, const vmette::Exec& exec) {
  const vmette::Process process = start(session, exec);
  const auto ended = process.wait(kLong);
  INFO((ended ? std::string() : std::string(ended.error().message())));
  REQUIRE(ended);
  const auto output = process.output();
  REQUIRE(output);
  return {process.exit_code(), std::string(output.value().stdout_text()),
          std::string(output.value().stderr_text())};
}

Ran sh(const std::string& line) {
  return run(machine(), vmette::Exec(line));
}

vmette::Error refusal(vmette::Session& session, const vmette::Exec& exec) {
  const vmette::Process process = start(session, exec);
  auto started = process.wait_started(kLong);
  REQUIRE(!started);
  return std::move(started).error();
}

std::string pattern(uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    const uint64_t at = offset + i;
    bytes[i] = static_cast<char>((at * 2654435761U >> 13) ^ at);
  }
  return bytes;
}

std::string read_all(int fd, size_t most) {
  std::string text;
  std::array<char, 65536> chunk;
  while (text.size() < most) {
    const ssize_t got = ::read(fd, chunk.data(), std::min(chunk.size(), most - text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(chunk.data(), static_cast<size_t>(got));
  }
  return text;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

}  // namespace vmette_test
