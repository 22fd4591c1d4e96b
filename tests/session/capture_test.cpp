#include "core/capture.h"

#include <atomic>
#include <string>
#include <thread>

#include "support/catch.h"

using vmette::core::Capture;
using vmette::core::CapturedOutput;
using vmette::wire::Channel;

namespace {

void put(Capture& capture, Channel channel, const std::string& text) {
  capture.append(channel, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace

TEST_CASE("a capture keeps the streams apart and the order in which they came") {
  Capture capture(100);
  put(capture, Channel::kStdout, "a");
  put(capture, Channel::kStdout, "b");
  put(capture, Channel::kStderr, "X");
  put(capture, Channel::kStdout, "c");
  put(capture, Channel::kStderr, std::string("\0\xff", 2));
  const CapturedOutput output = capture.read();
  CHECK(output.out.data == "abc");
  CHECK(output.err.data == std::string("X\0\xff", 3));
  CHECK(output.combined.data == std::string("abXc\0\xff", 6));
  CHECK(output.combined.total == 6);
  CHECK_FALSE(output.combined.truncated());
}

TEST_CASE("a capture keeps exactly the first bytes of each stream and counts the rest") {
  Capture capture(4);
  put(capture, Channel::kStdout, "ab");
  put(capture, Channel::kStderr, "1234");
  put(capture, Channel::kStdout, "cdef");
  put(capture, Channel::kStdout, "more");
  const CapturedOutput output = capture.read();
  CHECK(output.out.data == "abcd");
  CHECK(output.out.total == 10);
  CHECK(output.out.truncated());
  CHECK(output.err.data == "1234");
  CHECK_FALSE(output.err.truncated());
  CHECK(output.combined.data == "ab1234cd");
  CHECK(output.combined.total == 14);
  CHECK(output.combined.truncated());
}

TEST_CASE("a capture of nothing keeps nothing and still counts") {
  Capture capture(0);
  put(capture, Channel::kStdout, "abc");
  const CapturedOutput output = capture.read();
  CHECK(output.out.data.empty());
  CHECK(output.out.total == 3);
  CHECK(output.out.truncated());
  CHECK(output.combined.data.empty());
  CHECK(Capture(0).read().combined.total == 0);
}

TEST_CASE("what was read does not change when more comes") {
  Capture capture(100);
  put(capture, Channel::kStdout, "a");
  const CapturedOutput before = capture.read();
  put(capture, Channel::kStdout, "b");
  CHECK(before.out.data == "a");
  CHECK(capture.read().out.data == "ab");
}

TEST_CASE("a capture can be read while it is written to") {
  Capture capture(100'000);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 50'000; ++i)
      put(capture, i % 3 == 0 ? Channel::kStderr : Channel::kStdout, "x");
    done = true;
  });
  bool consistent = true;
  while (!done) {
    const CapturedOutput output = capture.read();
    consistent = consistent && output.combined.total == output.out.total + output.err.total &&
                 output.combined.data.size() == output.combined.total;
  }
  writer.join();
  CHECK(consistent);
  CHECK(capture.read().combined.total == 50'000);
}
