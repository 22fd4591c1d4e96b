#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette_test {

// The library's end of a control stream, as little of it as the helper's tests need. Every wait
// has a deadline and throws past it.
class Guest {
 public:
  explicit Guest(vmette::UniqueFd control) : control_(std::move(control)) {}
  // Of a machine that goes on from where `other`'s was saved, right now.
  Guest(vmette::UniqueFd control, const Guest& other)
      : control_(std::move(control)), last_stream_(other.last_stream_) {}

  void await_hello() { await(vmette::wire::Type::kHello); }
  // The built-in root until READY, with what `setup` says of shares and disks.
  void set_up(vmette::wire::Setup setup = {});
  // What a shell command printed to stdout. It must end with status 0.
  std::string run(const std::string& line);

 private:
  // The payload of the next frame of that type; others are dropped, output is kept.
  std::string await(vmette::wire::Type type);

  vmette::UniqueFd control_;
  vmette::wire::Decoder decoder_{vmette::wire::Sender::kGuest};
  uint64_t last_stream_ = 0;
  std::string output_;
};

}  // namespace vmette_test
