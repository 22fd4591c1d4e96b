// The C++ side of bench/python: does on request what the Python side does, in a machine of the same
// kind, and prints what it took.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <string>
#include <vector>
#include <vmette.hpp>

#include "need.h"
#include "raw_machine.h"

namespace {

using namespace vmette::bench;

// What Session.run() gives: output, exit code and figures.
void run_true(vmette::Session& session) {
  vmette::Exec exec("true");
  auto process = need(session.exec(exec));
  need(process.wait());
  const auto output = need(process.output());
  if (process.exit_code() != 0 || !output.stdout_text().empty()) die("true has failed");
}

// Milliseconds, the median of `count`.
double median_run(vmette::Session& session, size_t count) {
  std::vector<double> times;
  for (size_t i = 0; i < count; ++i) {
    const auto start = Clock::now();
    run_true(session);
    times.push_back(seconds_since(start) * 1000);
  }
  std::sort(times.begin(), times.end());
  return times[count / 2];
}

// MB/s of a command's stdout.
double stream(vmette::Session& session, size_t bytes) {
  vmette::Exec exec("exec dd if=/dev/zero bs=65536 count=" + std::to_string(bytes / 65536) +
                    " status=none");
  exec.set_stdout(vmette::Stdio::kPipe);
  const auto start = Clock::now();
  auto process = need(session.exec(exec));
  static std::array<char, size_t{1} << 18> buffer;
  size_t total = 0;
  for (ssize_t got = 1; got > 0; total += static_cast<size_t>(got))
    got = read(process.fd(vmette::Stream::kStdout), buffer.data(), buffer.size());
  need(process.wait());
  if (total != bytes) die("the stream is not whole");
  return static_cast<double>(bytes) / 1e6 / seconds_since(start);
}

}  // namespace

// Requests are lines: "run COUNT" or "stream BYTES".
int main() {
  vmette::Config config;
  config.set_accel(vmette::Accel::kEmulation).set_mem_mib(256);
  auto session = need(vmette::Session::create(config));
  need(session.start());
  std::string what;
  size_t amount = 0;
  while (std::cin >> what >> amount)
    std::cout << (what == "run" ? median_run(session, amount) : stream(session, amount))
              << std::endl;
}
