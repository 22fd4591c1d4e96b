#include "core/tree_copy.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/sigpipe.h"
#include "tree/packer.h"
#include "tree/unpacker.h"

namespace vmette::core {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kChunkBytes = 64 * 1024;
// What a guest says of a file gives nobody on the host another user's rights.
constexpr mode_t kHostModes = 0777;

Error on_host(const char* operation, const std::string& path, int error) {
  return {Code::kIo, one_line(fmt::format("{} {}: {}", operation, path, errno_text(error))),
          operation, error};
}

std::string below(const std::string& top, const std::string& path) {
  return path.empty() ? top : top + "/" + path;
}

// One copy's call to the guest, with a deadline for all of it.
class Copy {
 public:
  Copy(Session& session, const CopyOptions& options)
      : session_(session), options_(options), begin_(Clock::now()) {}

  Result<void> begin(CallSpec spec) {
    operation_ = spec.call.op;
    auto call = session_.begin_call(std::move(spec));
    if (!call) return call.error();
    call_ = call.value();
    fd_ = call_->take_fd();
    // Whoever waits for it has a deadline.
    fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
    return success();
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

  // Waits for the pipe; an error when the deadline passes first, or the caller gives up.
  Result<void> wait(short events) const {
    pollfd item{fd_.get(), events, 0};
    for (;;) {
      const int ready = poll(&item, 1, static_cast<int>(turn_ms()));
      if (ready > 0 || (ready < 0 && errno != EINTR)) return success();
      if (ready == 0) {
        BOOST_OUTCOME_TRYV(turn_over());
      }
    }
  }

  // Tells the caller how far it is.
  Result<void> report(const std::string& path, const tree::Progress& progress) const {
    path_ = path;
    progress_ = progress;
    if (!options_.progress || options_.progress(path, progress)) return success();
    return Error(Code::kCancelled, "the caller's progress callback gave up", operation_);
  }

  // The guest's answer.
  Result<void> outcome() const {
    while (!call_->done().wait(turn_ms())) {
      BOOST_OUTCOME_TRYV(turn_over());
    }
    const auto outcome = *call_->outcome();
    if (!outcome) return outcome.error();
    return success();
  }

  // Gives the call up.
  Error give_up(Error why) {
    call_->stop();
    session_.post([call = call_, why] { call->cancel(why); });
    return why;
  }

 private:
  // A guest that is silent must not keep the caller from giving up: it is asked again at every
  // turn.
  [[nodiscard]] int64_t turn_ms() const {
    const int64_t left = left_ms();
    return left < 0 ? kTurnMs : std::min(left, kTurnMs);
  }
  Result<void> turn_over() const {
    if (left_ms() == 0) return late();
    return report(path_, progress_);
  }
  [[nodiscard]] int64_t left_ms() const {
    if (options_.timeout_ms < 0) return -1;
    const auto past = std::chrono::duration_cast<milliseconds>(Clock::now() - begin_).count();
    return std::max<int64_t>(options_.timeout_ms - past, 0);
  }
  [[nodiscard]] Error late() const {
    return {
        Code::kDeadline,
        fmt::format("{}: not done after {} ms; give it longer", operation_, options_.timeout_ms),
        operation_};
  }

  static constexpr int64_t kTurnMs = 200;

  Session& session_;
  const CopyOptions& options_;
  Clock::time_point begin_;
  // As last reported.
  mutable std::string path_;
  mutable tree::Progress progress_;
  std::string operation_;
  std::shared_ptr<GuestCall> call_;
  HeldFd fd_;
};

// False when the guest takes no more; its answer says why.
Result<bool> send_all(const Copy& copy, std::span<const std::byte> bytes) {
  const NoSigpipe no_sigpipe;
  while (!bytes.empty()) {
    BOOST_OUTCOME_TRYV(copy.wait(POLLOUT));
    const ssize_t sent = write(copy.fd(), bytes.data(), bytes.size());
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
    } else if (errno != EINTR && errno != EAGAIN) {
      return false;
    }
  }
  return true;
}

Result<void> send_tree(Copy& copy, tree::Packer& packer, const std::string& host_path) {
  std::vector<std::byte> chunk(kChunkBytes);
  while (!packer.over()) {
    const size_t size = packer.fill(chunk);
    if (const auto& failure = packer.failure())
      return on_host("copy_in", below(host_path, failure->path), failure->error);
    const auto sent = send_all(copy, std::span(chunk).first(size));
    if (!sent) return sent.error();
    if (!sent.value()) return success();
    BOOST_OUTCOME_TRYV(copy.report(packer.path(), packer.progress()));
  }
  return success();
}

Error unpack_error(Session& session, const tree::Failure& failure, const std::string& host_path) {
  if (failure.error != 0) return on_host("copy_out", below(host_path, failure.path), failure.error);
  const std::string what = one_line("its tree is wrong: " + failure.message);
  session.accuse(what);
  return {Code::kGuest, "the guest broke the protocol: " + what, "copy_out"};
}

Result<void> receive_tree(Session& session, Copy& copy, tree::Unpacker& unpacker,
                          const std::string& host_path) {
  std::vector<std::byte> chunk(kChunkBytes);
  for (;;) {
    BOOST_OUTCOME_TRYV(copy.wait(POLLIN));
    const ssize_t got = read(copy.fd(), chunk.data(), chunk.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) break;
    if (!unpacker.take(std::span(chunk).first(static_cast<size_t>(got))))
      return unpack_error(session, *unpacker.failure(), host_path);
    BOOST_OUTCOME_TRYV(copy.report(unpacker.path(), unpacker.progress()));
  }
  BOOST_OUTCOME_TRYV(copy.outcome());
  if (!unpacker.end()) return unpack_error(session, *unpacker.failure(), host_path);
  return success();
}

// Where the top of a tree goes: into a directory that is there, or beside what is.
struct Target {
  UniqueFd parent;
  std::string name;
};

Result<Target> target_on_host(const std::string& host_path, bool parents) {
  namespace fs = std::filesystem;
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  UniqueFd existing(open(host_path.c_str(), kFlags));
  if (existing) return Target{std::move(existing), "."};
  if (errno != ENOENT && errno != ENOTDIR) return on_host("copy_out", host_path, errno);
  fs::path path(host_path);
  if (!path.has_filename()) path = path.parent_path();
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code failed;
  if (parents) fs::create_directories(parent, failed);
  UniqueFd directory(open(parent.c_str(), kFlags));
  if (!directory) return on_host("copy_out", parent.string(), errno);
  return Target{std::move(directory), path.filename().string()};
}

CallSpec call_of(const char* operation, const std::string& guest_path, uint32_t flags,
                 CallSpec::Content content) {
  CallSpec spec;
  spec.call.op = operation;
  spec.call.path = guest_path;
  spec.call.flags = flags;
  spec.content = content;
  return spec;
}

}  // namespace

Result<tree::Progress> copy_in(Session& session, const std::string& host_path,
                               const std::string& guest_path, const CopyOptions& options) {
  UniqueFd top(open(host_path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!top) return on_host("copy_in", host_path, errno);
  tree::Packer packer(std::move(top));
  Copy copy(session, options);
  BOOST_OUTCOME_TRYV(copy.begin(
      call_of(wire::op::kUnpack, guest_path, options.flags, CallSpec::Content::kFromPipe)));
  if (auto sent = send_tree(copy, packer, host_path); !sent) return copy.give_up(sent.error());
  copy.close();
  if (auto outcome = copy.outcome(); !outcome) return copy.give_up(outcome.error());
  return packer.progress();
}

Result<tree::Progress> copy_out(Session& session, const std::string& guest_path,
                                const std::string& host_path, const CopyOptions& options) {
  auto target = target_on_host(host_path, (options.flags & wire::kCallParents) != 0);
  if (!target) return target.error();
  tree::UnpackOptions unpack;
  unpack.modes = kHostModes;
  unpack.owners = (options.flags & wire::kCallOwners) != 0;
  unpack.most_bytes = options.most_bytes;
  tree::Unpacker unpacker(std::move(target.value().parent), target.value().name, unpack);
  Copy copy(session, options);
  BOOST_OUTCOME_TRYV(
      copy.begin(call_of(wire::op::kPack, guest_path, 0, CallSpec::Content::kToPipe)));
  if (auto received = receive_tree(session, copy, unpacker, host_path); !received)
    return copy.give_up(received.error());
  return unpacker.progress();
}

}  // namespace vmette::core
