// Calls that move whole directory trees (lib/tree).
#pragma once

#include <optional>
#include <span>

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
class TreeReceiver final : public SinkCall {
 public:
  TreeReceiver(CallContext& context, uint64_t stream, const wire::Call& request)
      : SinkCall(context, stream, request), flags_(request.flags) {}

  void start() override;

 private:
  bool take(std::span<const std::byte> bytes) override;
  bool end() override;
  bool go_on(bool fine);

  uint32_t flags_;
  std::optional<tree::Unpacker> unpacker_;
};

}  // namespace vmette::agent
