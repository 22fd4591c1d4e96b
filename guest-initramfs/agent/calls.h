// All calls that are under way, by stream.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "call.h"

namespace vmette::agent {

class Calls {
 public:
  // Calls open at once; the host knows the number too.
  static constexpr size_t kMaxOpen = 4096;

  explicit Calls(CallContext context);

  // False: the host opens more than it may.
  [[nodiscard]] bool begin(uint64_t stream, const wire::Call& request);
  // The call of an open stream, or null.
  OpenCall* find(uint64_t stream);
  // Forgets the calls that are over; between turns of the loop.
  void sweep();
  // Forgets all of them, unanswered: the machine is about to be off, or the host has gone.
  void abandon();

 private:
  CallContext context_;
  std::vector<uint64_t> finished_;
  std::unordered_map<uint64_t, std::unique_ptr<OpenCall>> by_stream_;
};

}  // namespace vmette::agent
