#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "vmette.hpp"

namespace vmette_test {

// Past anything that a slow host takes: reaching it is a hang.
inline constexpr std::chrono::minutes kLong{3};

// The machine that the tests of this program share: no root file system, 256 MiB.
vmette::Session& machine();
// A machine of one's own. Fails the test when it does not get ready.
vmette::Session boot(vmette::Config& config);

vmette::Process start(vmette::Session& session, const vmette::Exec& exec);

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};
// Runs a command to its end; fails the test when it is not over in time.
Ran run(vmette::Session& session, const vmette::Exec& exec);
// A shell line in the shared machine.
Ran sh(const std::string& line);
// What the library answers to a command that the guest cannot start.
vmette::Error refusal(vmette::Session& session, const vmette::Exec& exec);

// FNV-1a, to compare long streams.
class Checksum {
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  [[nodiscard]] uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

// Bytes that do not repeat soon, the same for each offset.
std::string pattern(uint64_t offset, size_t size);

// Reads until EOF, or at most `most` bytes.
std::string read_all(int fd, size_t most = SIZE_MAX);
// All bytes; false when nobody reads any more.
bool write_all(int fd, std::string_view bytes);

}  // namespace vmette_test
