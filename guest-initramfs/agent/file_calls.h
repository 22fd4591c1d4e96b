// Calls that carry a file's content, in pieces: nothing is held but what is under way.
#pragma once

#include <span>
#include <string>

#include "base/unique_fd.h"
#include "call.h"
#include "credit.h"
#include "output_queue.h"
#include "paths.h"

namespace vmette::agent {

// A call whose answer is a stream of bytes on stdout's channel, then RESULT.
class SourceCall : public OpenCall, protected Source {
 public:
  using OpenCall::OpenCall;
  ~SourceCall() override { context_.control.output().withdraw(*this); }

  [[nodiscard]] bool credit(const wire::Frame& frame) final;

 protected:
  // Begins to send.
  void offer();
  // Fills some of `room`. Says `end` when nothing follows; answers the call itself on an error.
  struct Filled {
    size_t bytes = 0;
    bool end = false;
  };
  virtual Filled fill(std::span<std::byte> room) = 0;

 private:
  [[nodiscard]] uint64_t stream() const final { return stream_; }
  Pulled pull(std::span<std::byte> room) final;

  SendCredit credit_;
  uint64_t sent_ = 0;
};

// A call that takes a stream of bytes on stdin's channel, and answers when it has ended. Without
// that end nothing is said to be written.
class SinkCall : public OpenCall {
 public:
  using OpenCall::OpenCall;

  [[nodiscard]] bool data(const wire::Frame& frame) final;

 protected:
  // The next bytes, and their end. False when the call has failed, and is answered.
  [[nodiscard]] virtual bool take(std::span<const std::byte> bytes) = 0;
  [[nodiscard]] virtual bool end() = 0;

 private:
  ReceiveCredit credit_;
  uint64_t received_ = 0;
};

class FileReader final : public SourceCall {
 public:
  FileReader(CallContext& context, uint64_t stream, const wire::Call& request);
  void start() override;

 private:
  Filled fill(std::span<std::byte> room) override;

  uint64_t offset_;
  uint64_t left_;
  UniqueFd file_;
};

// Writes a file. An atomic write without an end leaves everything as it was.
class FileWriter final : public SinkCall {
 public:
  FileWriter(CallContext& context, uint64_t stream, const wire::Call& request);
  ~FileWriter() override;

  void start() override;

 private:
  bool take(std::span<const std::byte> bytes) override;
  bool end() override;
  int open_file();
  int open_temporary();
  int commit();
  int take_place();
  void drop_temporary();

  const wire::Call request_;
  Place place_;            // atomic: where the file goes
  std::string temporary_;  // atomic: its name until then, in the same directory
  UniqueFd file_;
};

}  // namespace vmette::agent
