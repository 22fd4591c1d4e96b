// What is thrown on the library's thread stays there.
#include "core/reactor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "core/session.h"
#include "support/catch.h"

using namespace vmette::core;
using vmette::UniqueFd;

namespace {

constexpr int64_t kDeadlineMs = 60'000;

std::shared_ptr<Reactor> reactor() {
  auto made = Reactor::get();
  REQUIRE(made);
  return made.value();
}

// A helper that says nothing, and lives as long as `alive`.
HelperProcess silent_helper(UniqueFd& socket, UniqueFd& alive) {
  HelperProcess helper;
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  helper.socket.reset(ends[0]);
  socket.reset(ends[1]);
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  helper.pidfd.reset(ends[0]);
  alive.reset(ends[1]);
  return helper;
}

}  // namespace

TEST_CASE("a handler that throws is told of, and the reactor goes on") {
  const auto shared = reactor();
  std::promise<std::string> told;
  const int who = 0;
  shared->post([&] {
    shared->listen_for_failure(&who, [&](const std::string& what) { told.set_value(what); });
    throw std::runtime_error("no room");
  });
  CHECK(told.get_future().get() == "no room");
  std::promise<void> on;
  shared->post([&] {
    shared->stop_listening(&who);
    on.set_value();
  });
  on.get_future().get();
}

TEST_CASE("a listener that throws keeps nobody else from hearing of it") {
  const auto shared = reactor();
  std::promise<void> told;
  const int both[2] = {};
  shared->post([&] {
    shared->listen_for_failure(&both[0], [](const std::string&) { throw std::bad_alloc(); });
    shared->listen_for_failure(&both[1], [&](const std::string&) { told.set_value(); });
    throw std::bad_alloc();
  });
  told.get_future().get();
  std::promise<void> done;
  shared->post([&] {
    for (const int& who : both) shared->stop_listening(&who);
    done.set_value();
  });
  done.get_future().get();
}

TEST_CASE("a session ends with an error when a handler throws, and whoever waits hears why") {
  const auto shared = reactor();
  UniqueFd socket;
  UniqueFd alive;
  auto session = Session::create(*shared, Config());
  REQUIRE(session);
  REQUIRE(session.value()->launch_with({"/kernel", "/initramfs", "/helper"},
                                       silent_helper(socket, alive)));
  session.value()->post([] { throw std::bad_alloc(); });
  alive.reset();
  REQUIRE(session.value()->wait(kDeadlineMs));
  CHECK(session.value()->end().kind == EndKind::kError);
  CHECK(session.value()->end().message.find("the library could not go on: ") == 0);
  const auto ready = session.value()->wait_ready(0);
  REQUIRE(!ready);
  CHECK(ready.error().code == Code::kInternal);
}
