// Boots many machines, one after the other, and stops at the first that does not do its work.
//   soak COUNT
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vmette.hpp>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kDeadline{120'000};

bool failed(int boot, const vmette::Error& error) {
  std::fprintf(stderr, "boot %d failed after %lld ms in stage \"%s\": %s\nconsole:\n%s\n", boot,
               static_cast<long long>(error.elapsed().count()), error.stage().data(),
               error.message().data(), error.console().data());
  return false;
}

bool one_boot(int boot) {
  vmette::Config config;
  const std::string word = "boot-" + std::to_string(boot);
  config.set_exec_argv({"echo", word}).set_capture_output(true);
  auto session = vmette::Session::create(config);
  if (!session) return failed(boot, session.error());
  if (auto done = session.value().start(); !done) return failed(boot, done.error());
  if (auto done = session.value().wait(kDeadline); !done) return failed(boot, done.error());
  const auto output = session.value().output();
  if (!output) return failed(boot, output.error());
  if (session.value().end() == vmette::End::kExited && session.value().exit_code() == 0 &&
      output.value().stdout_text() == word + "\n")
    return true;
  std::fprintf(stderr, "boot %d ended as \"%s\" and printed \"%s\"\n", boot,
               session.value().end_message().data(), output.value().combined().data());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc == 2 ? std::atoi(argv[1]) : 0;
  if (count < 1) {
    std::fputs("usage: soak COUNT\n", stderr);
    return 2;
  }
  const auto begin = Clock::now();
  long long slowest = 0;
  for (int boot = 1; boot <= count; ++boot) {
    const auto start = Clock::now();
    if (!one_boot(boot)) return 1;
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count();
    slowest = took > slowest ? took : slowest;
  }
  const auto total = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  std::printf("%d boots without a failure, %lld ms each, the slowest %lld ms\n", count,
              static_cast<long long>(total.count()) / count, slowest);
  return 0;
}
