#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette_test {

constexpr std::chrono::seconds kPeerDeadline{20};

// Runs handlers until `done()`. False when it did not become true in time.
template <class Done>
bool run_until(boost::asio::io_context& io, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + kPeerDeadline;
  while (!done()) {
    io.restart();
    if (io.run_one_until(deadline) == 0 && std::chrono::steady_clock::now() >= deadline)
      return done();
    if (io.stopped() && !done() && io.poll() == 0) return false;  // nothing is left to wait for
  }
  return true;
}

// Runs what can run without waiting.
inline void run_ready(boost::asio::io_context& io) {
  do {
    io.restart();
  } while (io.poll() != 0);
}

inline vmette::wire::Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A frame as the decoder hands it out; borrows the payload.
inline vmette::wire::Frame frame_of(vmette::wire::Type type, std::string_view payload = {},
                                    uint16_t flags = 0, uint64_t stream = 1) {
  return {type, flags, stream, as_bytes(payload)};
}

}  // namespace vmette_test
