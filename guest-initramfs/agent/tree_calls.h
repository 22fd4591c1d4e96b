// Calls that move whole directory trees (lib/tree).
#pragma once

#include <optional>
#include <span>
#include <string>

#include "credit.h"
#include "file_calls.h"
#include "tree/packer.h"
#include "tree/unpacker.h"

namespace vmette::agent {

class TreeSender final : public SourceCall {
 public:
  using SourceCall::SourceCall;
  void start() override;

 private:
  Filled fill(std::span<std::byte> room) override;

  std::optional<tree::Packer> packer_;
};

// What has been made stays when the call fails.
class TreeReceiver final : public OpenCall {
 public:
  TreeReceiver(CallContext& context, uint64_t stream, const wire::Call& request)
      : OpenCall(context, stream, request), flags_(request.flags) {}

  void start() override;
  [[nodiscard]] bool data(const wire::Frame& frame) override;

 private:
  uint32_t flags_;
  ReceiveCredit credit_;
  uint64_t received_ = 0;
  std::optional<tree::Unpacker> unpacker_;
};

}  // namespace vmette::agent
