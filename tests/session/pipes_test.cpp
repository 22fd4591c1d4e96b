#include "core/pipes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <string>

#include "session/peer.h"
#include "support/catch.h"

using vmette::UniqueFd;
using vmette::core::make_pipe;
using vmette::core::PipeEnds;
using vmette::core::PipeReader;
using vmette::core::PipeWriter;
using vmette::core::Pumped;
using vmette_test::as_bytes;
using vmette_test::run_ready;
using vmette_test::run_until;

namespace {

PipeEnds pipe_for(Pumped pumped) {
  auto ends = make_pipe(pumped);
  REQUIRE(ends);
  return std::move(ends).value();
}

bool nonblocking(int fd) {
  return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

bool closed_on_exec(int fd) {
  return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

// A writer whose reader is the test.
struct Writing {
  boost::asio::io_context io;
  size_t consumed = 0;
  int gone = 0;
  UniqueFd reader;
  std::shared_ptr<PipeWriter> writer;
  size_t capacity = 0;

  Writing() {
    PipeEnds ends = pipe_for(Pumped::kWrite);
    reader = std::move(ends.read);
    capacity = static_cast<size_t>(fcntl(reader.get(), F_GETPIPE_SZ));
    writer = std::make_shared<PipeWriter>(
        io, std::move(ends.write),
        PipeWriter::Callbacks{[this](size_t bytes) { consumed += bytes; }, [this] { ++gone; }});
    writer->start();
  }

  // Reads what is there.
  [[nodiscard]] std::string drain() const {
    std::string bytes;
    for (pollfd item{reader.get(), POLLIN, 0}; poll(&item, 1, 0) == 1;) {
      char chunk[10'000];
      const ssize_t got = read(reader.get(), chunk, sizeof chunk);
      if (got <= 0) break;
      bytes.append(chunk, static_cast<size_t>(got));
    }
    return bytes;
  }
  [[nodiscard]] bool at_end() const {
    pollfd item{reader.get(), POLLIN, 0};
    char byte = 0;
    return poll(&item, 1, 0) == 1 && read(reader.get(), &byte, 1) == 0;
  }
};

// A reader whose writer is the test.
struct Reading {
  boost::asio::io_context io;
  std::string data;
  int ended = 0;
  UniqueFd writer;
  std::shared_ptr<PipeReader> reader;

  Reading() {
    PipeEnds ends = pipe_for(Pumped::kRead);
    writer = std::move(ends.write);
    reader = std::make_shared<PipeReader>(
        io, std::move(ends.read),
        PipeReader::Callbacks{[this](vmette::wire::Bytes bytes) {
                                data.append(reinterpret_cast<const char*>(bytes.data()),
                                            bytes.size());
                              },
                              [this] { ++ended; }});
  }
};

}  // namespace

TEST_CASE("only the library's end of a pipe is non-blocking and neither is inherited") {
  const PipeEnds out = pipe_for(Pumped::kWrite);
  CHECK(nonblocking(out.write.get()));
  CHECK_FALSE(nonblocking(out.read.get()));
  const PipeEnds in = pipe_for(Pumped::kRead);
  CHECK(nonblocking(in.read.get()));
  CHECK_FALSE(nonblocking(in.write.get()));
  for (const int fd : {out.read.get(), out.write.get(), in.read.get(), in.write.get()})
    CHECK(closed_on_exec(fd));
}

TEST_CASE("a writer counts bytes as consumed when the pipe has taken them") {
  Writing pipe;
  const std::string bytes(pipe.capacity + 100'000, 'w');
  pipe.writer->write(as_bytes(bytes));
  run_ready(pipe.io);
  CHECK(pipe.consumed == pipe.capacity);
  std::string got;
  REQUIRE(run_until(pipe.io, [&] {
    got += pipe.drain();
    return got.size() == bytes.size();
  }));
  CHECK(pipe.consumed == bytes.size());
  CHECK(pipe.gone == 0);
}

TEST_CASE("the end comes after everything that was written") {
  Writing pipe;
  const std::string bytes(pipe.capacity + 5, 'e');
  pipe.writer->write(as_bytes(bytes));
  pipe.writer->end();
  pipe.writer->write(as_bytes("too late"));
  std::string got;
  REQUIRE(run_until(pipe.io, [&] {
    got += pipe.drain();
    return got.size() == bytes.size();
  }));
  run_ready(pipe.io);
  CHECK(pipe.at_end());
  CHECK(pipe.gone == 0);
  CHECK((got == bytes));
}

TEST_CASE("a writer that nobody holds finishes its work") {
  Writing pipe;
  const std::string bytes(pipe.capacity + 5, 'e');
  pipe.writer->write(as_bytes(bytes));
  pipe.writer->detach();
  pipe.writer.reset();
  size_t got = 0;
  REQUIRE(run_until(pipe.io, [&] {
    got += pipe.drain().size();
    return got == bytes.size();
  }));
  run_ready(pipe.io);
  CHECK(pipe.at_end());
  CHECK(pipe.consumed == pipe.capacity);  // no callback after detach()
}

TEST_CASE("a reader that goes away is noticed without a write, and once") {
  signal(SIGPIPE, SIG_IGN);
  Writing pipe;
  pipe.reader.reset();
  REQUIRE(run_until(pipe.io, [&] { return pipe.gone == 1; }));
  pipe.writer->write(as_bytes("nobody"));
  pipe.writer->end();
  run_ready(pipe.io);
  CHECK(pipe.gone == 1);
  CHECK(pipe.consumed == 0);
}

TEST_CASE("a reader that goes away in the middle of a write is noticed once") {
  signal(SIGPIPE, SIG_IGN);
  Writing pipe;
  pipe.writer->write(as_bytes(std::string(pipe.capacity + 1, 'x')));
  pipe.reader.reset();
  pipe.writer->write(as_bytes("more"));
  run_ready(pipe.io);
  CHECK(pipe.gone == 1);
}

TEST_CASE("a reader takes no more than it was allowed") {
  Reading pipe;
  REQUIRE(write(pipe.writer.get(), "0123456789", 10) == 10);
  run_ready(pipe.io);
  CHECK(pipe.data.empty());
  pipe.reader->allow(4);
  run_ready(pipe.io);
  CHECK(pipe.data == "0123");
  pipe.reader->allow(2);
  pipe.reader->allow(1);
  run_ready(pipe.io);
  CHECK(pipe.data == "0123456");
}

TEST_CASE("the caller's end of file comes after the last byte, and once") {
  Reading pipe;
  REQUIRE(write(pipe.writer.get(), "abc", 3) == 3);
  pipe.writer.reset();
  pipe.reader->allow(3);
  run_ready(pipe.io);
  CHECK(pipe.data == "abc");
  CHECK(pipe.ended == 0);  // it may not even look without an allowance
  pipe.reader->allow(1);
  run_ready(pipe.io);
  CHECK(pipe.ended == 1);
  pipe.reader->allow(1);
  run_ready(pipe.io);
  CHECK(pipe.ended == 1);
}

TEST_CASE("a closed reader gives its writer EPIPE and calls nobody") {
  signal(SIGPIPE, SIG_IGN);
  Reading pipe;
  pipe.reader->allow(100);
  pipe.reader->close();
  run_ready(pipe.io);
  CHECK(write(pipe.writer.get(), "x", 1) == -1);
  CHECK(errno == EPIPE);
  CHECK(pipe.ended == 0);
  CHECK(pipe.data.empty());
}
