#include "core/log.h"

#include <signal.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "support/catch.h"

using vmette::UniqueFd;
using vmette::core::log;
using vmette::core::LogLevel;
using vmette::core::set_log;

namespace {

volatile sig_atomic_t g_broken_pipes = 0;

void count_broken_pipe(int /*number*/) {
  g_broken_pipes = g_broken_pipes + 1;
}

}  // namespace

TEST_CASE("a log whose reader has gone raises no SIGPIPE in the program that writes it") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  struct sigaction counting{};
  struct sigaction before{};
  counting.sa_handler = count_broken_pipe;
  REQUIRE(sigaction(SIGPIPE, &counting, &before) == 0);
  set_log(writer.get(), LogLevel::kInfo);
  log(LogLevel::kInfo, 1, "read");
  char byte = 0;
  CHECK(read(reader.get(), &byte, 1) == 1);
  reader.reset();
  log(LogLevel::kInfo, 1, "unread");
  set_log(-1, LogLevel::kOff);
  sigaction(SIGPIPE, &before, nullptr);
  CHECK(g_broken_pipes == 0);
}
