#include "core/guest_client.h"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <string>
#include <vector>

#include "session/peer.h"
#include "support/catch.h"
#include "support/text.h"

namespace wire = vmette::wire;
using vmette::UniqueFd;
using vmette::core::GuestClient;
using vmette_test::contains;
using vmette_test::run_ready;
using vmette_test::run_until;
using wire::Type;

namespace {

// A client and the guest's end of its stream.
struct Connection {
  boost::asio::io_context io;
  UniqueFd guest;
  std::vector<std::string> frames;  // "type stream payload"
  std::vector<std::string> lost;
  std::vector<std::string> broken;
  std::function<void()> on_frame;
  std::shared_ptr<GuestClient> client;

  Connection() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    guest.reset(ends[1]);
    client = std::make_shared<GuestClient>(
        io, UniqueFd(ends[0]),
        GuestClient::Callbacks{
            [this](const wire::Frame& frame) {
              frames.push_back(wire::type_name(static_cast<uint16_t>(frame.type)) + " " +
                               std::to_string(frame.stream) + " " +
                               std::string(reinterpret_cast<const char*>(frame.payload.data()),
                                           frame.payload.size()));
              if (on_frame) on_frame();
            },
            [this](std::string why) { lost.push_back(std::move(why)); },
            [this](std::string why) { broken.push_back(std::move(why)); }, nullptr});
    client->start();
  }

  void say(std::string_view bytes) const {
    REQUIRE(send(guest.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  [[nodiscard]] std::string heard() const {
    std::string bytes(1 << 20, '\0');
    const ssize_t got = recv(guest.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return bytes;
  }
};

std::string bytes_of(Type type, uint64_t stream, std::string_view payload) {
  std::string out;
  wire::append_frame(out, type, 0, stream, payload);
  return out;
}

}  // namespace

TEST_CASE("frames reach the listener in order, however they are cut on the way") {
  Connection connection;
  const std::string bytes = bytes_of(Type::kStarted, 1, "one") + bytes_of(Type::kExit, 2, "two") +
                            bytes_of(Type::kBye, 0, "");
  for (const char byte : bytes) {
    connection.say({&byte, 1});
    run_ready(connection.io);
  }
  CHECK(connection.frames == std::vector<std::string>{"STARTED 1 one", "EXIT 2 two", "BYE 0 "});
  CHECK(connection.lost.empty());
}

TEST_CASE("frames that came before the stream's end are heard before it") {
  Connection connection;
  connection.say(bytes_of(Type::kBye, 0, ""));
  connection.guest.reset();
  REQUIRE(run_until(connection.io, [&] { return !connection.lost.empty(); }));
  CHECK(connection.frames.size() == 1);
  CHECK(connection.lost == std::vector<std::string>{"the guest's control stream ended"});
}

TEST_CASE("broken framing is told once with its rule and nothing follows") {
  Connection connection;
  connection.say(bytes_of(Type::kBye, 0, "") + bytes_of(Type::kExec, 1, "") +
                 bytes_of(Type::kBye, 0, ""));
  REQUIRE(run_until(connection.io, [&] { return !connection.broken.empty(); }));
  connection.guest.reset();
  run_ready(connection.io);
  CHECK(connection.frames.size() == 1);
  REQUIRE(connection.broken.size() == 1);
  CHECK(contains(connection.broken[0], "EXEC"));
}

TEST_CASE("a listener may close the client while a frame is handled") {
  Connection connection;
  connection.on_frame = [&] { connection.client->close(); };
  connection.say(bytes_of(Type::kBye, 0, "") + bytes_of(Type::kBye, 0, ""));
  REQUIRE(run_until(connection.io, [&] { return !connection.frames.empty(); }));
  run_ready(connection.io);
  CHECK(connection.frames.size() == 1);
  CHECK(connection.lost.empty());
  connection.client->close();
  connection.client->send(Type::kExec, 0, 1, "after");
  // The guest sees the end.
  char byte = 0;
  CHECK(recv(connection.guest.get(), &byte, 1, 0) == 0);
}

TEST_CASE("what is sent arrives whole and in order although the guest reads slowly") {
  Connection connection;
  std::string expected;
  for (int i = 0; i < 40; ++i) {
    const std::string payload(100'000, static_cast<char>('a' + i % 26));
    connection.client->send(Type::kExec, 0, static_cast<uint64_t>(i), payload);
    expected += bytes_of(Type::kExec, static_cast<uint64_t>(i), payload);
  }
  std::string got;
  REQUIRE(run_until(connection.io, [&] {
    got += connection.heard();
    return got.size() >= expected.size();
  }));
  CHECK((got == expected));
}

TEST_CASE("sending to a guest that is gone is an end of the stream and no signal") {
  Connection connection;
  connection.guest.reset();
  connection.client->send(Type::kExec, 0, 1, "x");
  REQUIRE(run_until(connection.io, [&] { return !connection.lost.empty(); }));
  CHECK(connection.lost.size() == 1);
}

TEST_CASE("a guest that never stops talking leaves time for others") {
  Connection connection;
  bool other_ran = false;
  const std::string burst = bytes_of(Type::kStarted, 1, std::string(1000, 'x'));
  // Whenever a frame is heard, more are there already.
  size_t others_at = 0;
  connection.on_frame = [&] {
    if (!other_ran) (void)send(connection.guest.get(), burst.data(), burst.size(), MSG_DONTWAIT);
    if (connection.frames.size() == 1)
      boost::asio::post(connection.io, [&] {
        other_ran = true;
        others_at = connection.frames.size();
      });
  };
  for (int i = 0; i < 20; ++i) connection.say(burst);
  REQUIRE(run_until(connection.io, [&] { return other_ran; }));
  CHECK(others_at > 0);
}
