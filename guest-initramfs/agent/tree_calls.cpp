#include "tree_calls.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

namespace vmette::agent {
namespace {

std::string below(const std::string& top, const std::string& path) {
  return path.empty() ? top : top + "/" + path;
}

}  // namespace

void TreeSender::start() {
  UniqueFd top = open_in_root(context_.root.directory.get(), path(), O_RDONLY);
  if (!top) return fail(errno);
  packer_.emplace(std::move(top));
  offer();
}

SourceCall::Filled TreeSender::fill(std::span<std::byte> room) {
  const size_t bytes = packer_->fill(room);
  if (const auto& failure = packer_->failure()) {
    fail(failure->error, below(path(), failure->path));
    return {};
  }
  return {bytes, packer_->over()};
}

void TreeReceiver::start() {
  const int root = context_.root.directory.get();
  if ((flags_ & wire::kCallParents) != 0)
    if (const int error = make_parents(root, path()); error != 0) return fail(error);
  tree::UnpackOptions options;
  options.owners = (flags_ & wire::kCallOwners) != 0;
  // A directory that is there is filled up, also where a link leads to it.
  if (UniqueFd existing = open_in_root(root, path(), O_PATH | O_DIRECTORY)) {
    unpacker_.emplace(std::move(existing), ".", options);
    return;
  }
  Place place = place_of(root, path());
  if (place.error != 0) return fail(place.error);
  unpacker_.emplace(std::move(place.directory), place.name, options);
}

bool TreeReceiver::data(const wire::Frame& frame) {
  const auto bytes = static_cast<uint32_t>(frame.payload.size());
  if (static_cast<wire::Channel>(frame.channel()) != wire::Channel::kStdin) return false;
  if (!credit_.receive(bytes)) return false;
  if (over()) return true;
  const bool fine = unpacker_->take(frame.payload) && (!frame.eof() || unpacker_->end());
  if (!fine) {
    const tree::Failure& failure = *unpacker_->failure();
    fail(failure.error != 0 ? failure.error : EBADMSG, below(path(), failure.path));
    return true;
  }
  received_ += bytes;
  credit_.consume(bytes);
  if (const uint32_t grant = credit_.take_grant(); grant > 0)
    context_.control.send(wire::Type::kCredit, wire::channel_flags(wire::Channel::kStdin), stream_,
                          wire::encode_credit(grant));
  if (!frame.eof()) return true;
  wire::CallResult result;
  result.bytes = received_;
  succeed(result);
  return true;
}

}  // namespace vmette::agent
