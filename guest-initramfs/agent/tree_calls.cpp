#include "tree_calls.h"

#include <fcntl.h>

#include <cerrno>
#include <string>
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

bool TreeReceiver::take(std::span<const std::byte> bytes) {
  return go_on(unpacker_->take(bytes));
}

bool TreeReceiver::end() {
  return go_on(unpacker_->end());
}

bool TreeReceiver::go_on(bool fine) {
  if (fine) return true;
  const tree::Failure& failure = *unpacker_->failure();
  fail(failure.error != 0 ? failure.error : EBADMSG, below(path(), failure.path));
  return false;
}

}  // namespace vmette::agent
