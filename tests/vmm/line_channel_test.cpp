#include "vmm/line_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "support/catch.h"

using vmette::UniqueFd;
using vmette::vmm::kMaxLineBytes;
using vmette::vmm::LineChannel;
using Status = LineChannel::Status;

namespace {

std::pair<UniqueFd, UniqueFd> make_sockets() {
  std::array<int, 2> fds{};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

UniqueFd open_null() {
  return UniqueFd(open("/dev/null", O_RDWR));
}

size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 256; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

void write_all(int fd, const std::string& bytes) {
  REQUIRE(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

// Moves one line through two channels whose sockets cannot hold it at once.
std::string move_line(LineChannel& from, LineChannel& to, const std::string& line) {
  REQUIRE(from.send(line));
  std::string out;
  while (true) {
    const Status status = to.receive(out);
    if (status == Status::kLine) return out;
    REQUIRE(status == Status::kMore);
    REQUIRE(from.flush());
  }
}

}  // namespace

TEST_CASE("a line arrives without its line end, however it was cut in transit") {
  auto [near, far] = make_sockets();
  LineChannel channel(std::move(near));
  std::string line;
  CHECK(channel.receive(line) == Status::kMore);
  write_all(far.get(), "on");
  CHECK(channel.receive(line) == Status::kMore);
  write_all(far.get(), "e\ntwo\r\n\nthr");
  REQUIRE(channel.receive(line) == Status::kLine);
  CHECK(line == "one");
  REQUIRE(channel.receive(line) == Status::kLine);
  CHECK(line == "two");
  REQUIRE(channel.receive(line) == Status::kLine);
  CHECK(line.empty());
  CHECK(channel.receive(line) == Status::kMore);
  write_all(far.get(), "ee\n");
  REQUIRE(channel.receive(line) == Status::kLine);
  CHECK(line == "three");
}

TEST_CASE("lines that came before the peer closed are returned first") {
  auto [near, far] = make_sockets();
  LineChannel channel(std::move(near));
  write_all(far.get(), "last\nhalf");
  far.reset();
  std::string line;
  REQUIRE(channel.receive(line) == Status::kLine);
  CHECK(line == "last");
  CHECK(channel.receive(line) == Status::kClosed);
  CHECK(channel.receive(line) == Status::kClosed);
}

TEST_CASE("a line of 1 MiB passes and a longer one breaks the channel") {
  auto [near, far] = make_sockets();
  LineChannel from(std::move(near));
  LineChannel to(std::move(far));
  const std::string longest(kMaxLineBytes, 'x');
  CHECK(move_line(from, to, longest) == longest);
  CHECK(move_line(from, to, "short") == "short");

  REQUIRE(from.send(longest + "x"));
  std::string line;
  Status status = Status::kMore;
  while (status == Status::kMore) {
    from.flush();
    status = to.receive(line);
  }
  CHECK(status == Status::kBroken);
  CHECK(to.error() == "a line is longer than 1 MiB");
  CHECK(to.receive(line) == Status::kBroken);
}

TEST_CASE("a line without an end breaks the channel once it is longer than 1 MiB") {
  auto [near, far] = make_sockets();
  LineChannel channel(std::move(near));
  const std::string part(size_t{64} * 1024, 'x');
  std::string line;
  Status status = Status::kMore;
  size_t sent = 0;
  while (status == Status::kMore && sent <= 2 * kMaxLineBytes) {
    write_all(far.get(), part);
    sent += part.size();
    status = channel.receive(line);
  }
  CHECK(status == Status::kBroken);
  CHECK(sent <= kMaxLineBytes + 2 * part.size());
}

TEST_CASE("sending never blocks, and what is left over is sent by flush in order") {
  auto [near, far] = make_sockets();
  LineChannel from(std::move(near));
  LineChannel to(std::move(far));
  const std::string large(size_t{900} * 1024, 'a');
  REQUIRE(from.send(large));
  CHECK(from.wants_write());
  REQUIRE(from.send("after"));
  CHECK(from.queued_bytes() > 0);
  CHECK(from.queued_bytes() < large.size() + 7);

  std::vector<std::string> got;
  while (got.size() < 2) {
    std::string line;
    if (to.receive(line) == Status::kLine) got.push_back(line);
    REQUIRE(from.flush());
  }
  CHECK(got[0] == large);
  CHECK(got[1] == "after");
  CHECK_FALSE(from.wants_write());
  CHECK(from.queued_bytes() == 0);
}

TEST_CASE("sending to a peer that has gone fails and drops the queue") {
  auto [near, far] = make_sockets();
  LineChannel channel(std::move(near));
  REQUIRE(channel.send(std::string(size_t{900} * 1024, 'a')));
  far.reset();
  CHECK_FALSE(channel.send("more"));
  CHECK_FALSE(channel.wants_write());
  CHECK(channel.queued_bytes() == 0);
}

TEST_CASE("descriptors arrive in order with their lines and do not pass on to programs") {
  auto [near, far] = make_sockets();
  LineChannel from(std::move(near));
  LineChannel to(std::move(far), 4);
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  std::vector<UniqueFd> fds;
  fds.emplace_back(ends[0]);
  fds.emplace_back(ends[1]);
  REQUIRE(from.send("none"));
  const bool sent = from.send("both", std::move(fds));
  REQUIRE(sent);
  REQUIRE(from.send("after"));

  std::string line;
  REQUIRE(to.receive(line) == Status::kLine);
  CHECK(line == "none");
  REQUIRE(to.receive(line) == Status::kLine);
  REQUIRE(line == "both");
  const UniqueFd reader = to.take_fd();
  const UniqueFd writer = to.take_fd();
  CHECK_FALSE(to.take_fd().valid());
  REQUIRE(reader.valid());
  REQUIRE(writer.valid());
  CHECK((fcntl(reader.get(), F_GETFD) & FD_CLOEXEC) != 0);
  write_all(writer.get(), "!");
  char byte = 0;
  CHECK(read(reader.get(), &byte, 1) == 1);
  CHECK(byte == '!');
  REQUIRE(to.receive(line) == Status::kLine);
  CHECK(line == "after");
}

TEST_CASE("descriptors that nobody expects are closed") {
  auto [near, far] = make_sockets();
  LineChannel from(std::move(near));
  const size_t limit = GENERATE(size_t{0}, size_t{2});
  LineChannel to(std::move(far), limit);
  const size_t before = open_descriptors();
  for (int i = 0; i < 3; ++i) {
    std::vector<UniqueFd> fds;
    for (int j = 0; j < 3; ++j) fds.push_back(open_null());
    const bool sent = from.send("line", std::move(fds));
    REQUIRE(sent);
  }
  std::string line;
  for (int i = 0; i < 3; ++i) REQUIRE(to.receive(line) == Status::kLine);
  CHECK(to.receive(line) == Status::kMore);
  CHECK(open_descriptors() == before + limit);
}

TEST_CASE("descriptors that nobody took are closed with the channel") {
  const size_t before = open_descriptors();
  {
    auto [near, far] = make_sockets();
    LineChannel from(std::move(near));
    LineChannel to(std::move(far), 4);
    std::vector<UniqueFd> fds;
    fds.push_back(open_null());
    const bool sent = from.send("line", std::move(fds));
    REQUIRE(sent);
    std::string line;
    REQUIRE(to.receive(line) == Status::kLine);
  }
  CHECK(open_descriptors() == before);
}
