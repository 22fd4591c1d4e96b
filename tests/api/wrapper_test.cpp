#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vmette.hpp>

#include "support/catch.h"

using vmette::Config;
using vmette::Error;
using vmette::ErrorCode;
using vmette::Output;
using vmette::Session;

static_assert(!std::is_copy_constructible_v<Config> &&
              std::is_nothrow_move_constructible_v<Config>);
static_assert(!std::is_copy_constructible_v<Session> &&
              std::is_nothrow_move_constructible_v<Session>);
static_assert(!std::is_copy_constructible_v<Output> && std::is_nothrow_move_assignable_v<Output>);
static_assert(std::is_nothrow_copy_constructible_v<Error>);

namespace {

// The signal that ends a child which runs `body`; 0 when it returns.
template <class Body>
int signal_that_ends(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(SIGABRT, SIG_DFL);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

TEST_CASE("a configuration's setters chain and its getters read them back") {
  Config config;
  config.set_vcpus(2).set_mem_mib(256).set_timeout_seconds(3).set_guest_vsock_port(7);
  config.set_cmdline(std::string("loglevel=7"));
  CHECK(config.error() == nullptr);
  CHECK(config.vcpus() == 2);
  CHECK(config.mem_mib() == 256);
  CHECK(config.timeout_seconds() == 3);
  CHECK(config.guest_vsock_port() == 7);
  CHECK(config.cmdline() == "loglevel=7");
}

TEST_CASE("the first setter that fails is what validate, create, clone and run report") {
  Config config;
  config.set_hostname(nullptr).set_cmdline("\xff").set_vcpus(2);
  REQUIRE(config.error() != nullptr);
  CHECK(config.error()->code() == ErrorCode::kInvalidArgument);
  const std::string message(config.error()->message());
  CHECK(message.find("name") != std::string::npos);
  CHECK(config.vcpus() == 1);  // later setters do nothing
  CHECK(config.validate().error().message() == message);
  CHECK(config.clone().error().message() == message);
  CHECK(Session::create(config).error().message() == message);
  CHECK(vmette::run(config).error().message() == message);
}

TEST_CASE("an error outlives the configuration it came from") {
  const auto make = [] {
    Config config;
    return config.set_hostname(nullptr).validate().error();
  };
  const Error error = make();
  const Error copy = error;
  CHECK(copy.message() == error.message());
  CHECK(copy.capi() == error.capi());
  CHECK(copy.errno_value() == 0);
  CHECK(copy.console().empty());
  CHECK(std::string(vmette::code_name(copy.code())) == "INVALID_ARGUMENT");
}

TEST_CASE("a string with a NUL inside is an error and not a shorter string") {
  const std::string cut("/etc\0/passwd", 12);
  Config config;
  config.set_kernel(cut);
  REQUIRE(config.error() != nullptr);
  CHECK(config.error()->code() == ErrorCode::kInvalidArgument);
  CHECK(config.error()->message().find("NUL") != std::string_view::npos);
  CHECK(config.error()->capi() == nullptr);

  Config argv;
  argv.set_exec_argv({"echo", cut});
  REQUIRE(argv.error() != nullptr);
  CHECK(argv.error()->message().find("NUL") != std::string_view::npos);
}

TEST_CASE("an empty argument vector is an error") {
  Config config;
  config.set_exec_argv(std::vector<std::string>{});
  REQUIRE(config.error() != nullptr);
  CHECK(config.error()->code() == ErrorCode::kInvalidArgument);
}

TEST_CASE("a clone is independent and a moved configuration keeps its values") {
  Config config;
  config.set_vcpus(2);
  auto copy = config.clone();
  REQUIRE(copy);
  copy.value().set_vcpus(3);
  CHECK(config.vcpus() == 2);
  Config moved = std::move(copy).value();
  CHECK(moved.vcpus() == 3);
  moved = std::move(config);
  CHECK(moved.vcpus() == 2);
}

TEST_CASE("a released handle belongs to the caller and can be wrapped again") {
  Config config;
  config.set_vcpus(2);
  vmette_config* raw = config.capi_release();
  CHECK(config.capi() == nullptr);
  const Config again(raw);
  CHECK(again.capi() == raw);
  CHECK(again.vcpus() == 2);
}

TEST_CASE("a session before its start knows that it has not started") {
  Config config;
  config.set_capture_output(true);
  auto session = Session::create(config);
  REQUIRE(session);
  CHECK(session.value().state() == vmette::State::kCreated);
  CHECK(session.value().end() == vmette::End::kNone);
  CHECK(session.value().timeline_count() == 0);
  const auto waited = session.value().wait(std::chrono::milliseconds(0));
  REQUIRE_FALSE(waited);
  CHECK(waited.error().code() == ErrorCode::kState);
  const auto output = session.value().output();
  REQUIRE(output);
  CHECK(output.value().stdout_text().empty());
  CHECK(output.value().combined().empty());
  CHECK_FALSE(output.value().truncated());
  CHECK(session.value().stop(0));
}

TEST_CASE("asking a result for what it does not hold ends the process") {
  CHECK(signal_that_ends([] { (void)Config().set_hostname(nullptr).clone().value(); }) == SIGABRT);
  CHECK(signal_that_ends([] { (void)Config().clone().error(); }) == SIGABRT);
  CHECK(signal_that_ends([] { (void)Config().clone().value(); }) == 0);
}
