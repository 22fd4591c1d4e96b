// What a session asks the guest's agent itself.
#include <fmt/format.h>

#include <cerrno>

#include "core/session.h"

namespace vmette::core {
namespace {

// Far beyond what any kernel takes.
constexpr size_t kLongestPath = 64 * 1024;

Result<void> check_path(const std::string& operation, const char* field, const std::string& path,
                        bool absolute) {
  if (path.empty() || (absolute && path[0] != '/'))
    return Error(Code::kInvalidArgument,
                 one_line(fmt::format("{}: '{}' is not absolute; start it with '/'", field, path)),
                 operation);
  if (path.size() > kLongestPath)
    return Error(Code::kFile,
                 fmt::format("{} {}…: {}", operation, one_line(path.substr(0, 64)),
                             errno_text(ENAMETOOLONG)),
                 operation, ENAMETOOLONG);
  return success();
}

Result<void> check(const wire::Call& call) {
  if (call.op == wire::op::kStats) return success();
  BOOST_OUTCOME_TRYV(check_path(call.op, "path", call.path, true));
  if (call.op == wire::op::kRename) return check_path(call.op, "to", call.to, true);
  if (call.op == wire::op::kSymlink && call.to.empty())
    return Error(Code::kInvalidArgument, "target: a link must say something; pass a path", call.op);
  if (call.op == wire::op::kSymlink) return check_path(call.op, "target", call.to, false);
  constexpr uint32_t kEither = wire::kCallAppend | wire::kCallAtomic;
  if ((call.flags & kEither) == kEither)
    return Error(Code::kInvalidArgument, "flags: APPEND and ATOMIC exclude each other; choose one",
                 call.op);
  return success();
}

}  // namespace

Result<std::shared_ptr<GuestCall>> Session::begin_call(CallSpec spec) {
  BOOST_OUTCOME_TRYV(check(spec.call));
  BOOST_OUTCOME_TRYV(must_be_ready());
  auto call = GuestCall::create(reactor_.io(), std::move(spec));
  if (call) open_stream(call.value());
  return call;
}

void Session::finish_call(const std::shared_ptr<GuestCall>& call, int64_t timeout_ms) {
  if (call->done().wait(timeout_ms)) return;
  // Decides here and now, whatever the guest says meanwhile.
  const Error late(Code::kDeadline,
                   one_line(fmt::format(
                       "{} {}: no answer after {} ms; wait longer, or look whether the guest is "
                       "paused or hangs",
                       call->asked().op, call->asked().path, timeout_ms)),
                   call->asked().op);
  post([call, late] { call->cancel(late); });
  (void)call->done().wait(-1);
}

void Session::accuse(std::string what) {
  post([this, what = std::move(what)] {
    if (self_) violation(what);
  });
}

}  // namespace vmette::core
