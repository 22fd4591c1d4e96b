#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/guest_call.h"

namespace vmette::core {

// Keeps what a call brings, up to `most` bytes.
class BytesSink final : public CallSink {
 public:
  BytesSink(std::string path, size_t most) : path_(std::move(path)), most_(most) {}

  Result<void> take(wire::Bytes bytes) override;
  std::string& bytes() { return bytes_; }

 private:
  std::string path_;
  size_t most_;
  std::string bytes_;
};

// Entries of a directory. Names that could lead anywhere but into that directory break the
// protocol.
class ListingSink final : public CallSink {
 public:
  explicit ListingSink(std::string path) : path_(std::move(path)) {}

  Result<void> take(wire::Bytes bytes) override;
  Result<void> end() override;
  // Sorted by name, on the thread that asks: there may be many.
  std::vector<wire::FileInfo>& sorted();

 private:
  Result<void> take_entry(wire::Bytes entry);

  std::string path_;
  std::string pending_;
  size_t total_ = 0;
  std::vector<wire::FileInfo> entries_;
};

}  // namespace vmette::core
