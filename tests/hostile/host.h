#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "vmette.hpp"

namespace vmette_test {

// Past every deadline that a test sets: reaching it is a hang.
inline constexpr std::chrono::seconds kHang{20};
// A boot that never comes costs a test this long.
inline constexpr std::chrono::milliseconds kReady{1500};

// A session whose machine is the script of that name (peer.h), launched.
vmette::Session launch(std::string_view script, std::chrono::milliseconds ready = kReady);
// The same, ready; a script that does not get there fails the test.
vmette::Session ready_session(std::string_view script);
// A command with pipes for all of its streams.
vmette::Process exec_with_pipes(vmette::Session& session);

// Waits for the session's end and returns its message, "HUNG" when it did not come in time.
std::string end_of(vmette::Session& session);
// One line of valid UTF-8, not empty, of bounded length.
bool is_one_clear_line(std::string_view text);

// Compares what this process holds before and after: descriptors, children, threads.
class NothingIsLeft {
 public:
  NothingIsLeft();
  [[nodiscard]] bool holds() const;

 private:
  std::size_t descriptors_;
  std::size_t children_;
  std::size_t threads_;
};

}  // namespace vmette_test
