// What the guest is asked: arguments of the C functions, checked.
#include <fmt/format.h>

#include <utility>

#include "capi/call_handles.h"

namespace vmette::capi {
namespace {

using core::BytesSink;
using core::CallSpec;
using core::Code;
using core::Error;
using core::ListingSink;
using core::Result;
using wire::Call;
namespace op = wire::op;

constexpr uint32_t kMostMode = 07777;

static_assert(VMETTE_FILE_FOLLOW == wire::kCallFollow);
static_assert(VMETTE_FILE_PARENTS == wire::kCallParents);
static_assert(VMETTE_FILE_RECURSIVE == wire::kCallRecursive);
static_assert(VMETTE_FILE_APPEND == wire::kCallAppend);
static_assert(VMETTE_FILE_EXCLUSIVE == wire::kCallExclusive);
static_assert(VMETTE_FILE_ATOMIC == wire::kCallAtomic);

Result<void> check_text(const char* function, const char* argument, const char* text) {
  if (text == nullptr) return null_error(function, argument);
  return core::success();
}

Result<void> check_mode(const char* function, uint32_t mode) {
  if (mode <= kMostMode) return core::success();
  return Error(Code::kInvalidArgument,
               fmt::format("{}: argument 'mode' is 0{:o}; pass permission bits up to 07777",
                           function, mode));
}

Call named(const char* operation, const char* path, uint32_t flags = 0) {
  Call call;
  call.op = operation;
  call.path = path;
  call.flags = flags;
  return call;
}

Question without_content(Call call, Answer answer = Answer::kNone) {
  Question question;
  question.spec.call = std::move(call);
  question.answer = answer;
  return question;
}

}  // namespace

Result<void> check_flags(const char* function, uint32_t flags, uint32_t known) {
  if ((flags & ~known) == 0) return core::success();
  return Error(Code::kInvalidArgument,
               fmt::format("{}: argument 'flags' is {}; pass a combination of bits of {}", function,
                           flags, known));
}

Result<Call> write_call(const char* function, const char* path, uint32_t flags, uint32_t mode) {
  constexpr uint32_t kKnown =
      VMETTE_FILE_APPEND | VMETTE_FILE_ATOMIC | VMETTE_FILE_EXCLUSIVE | VMETTE_FILE_PARENTS;
  BOOST_OUTCOME_TRYV(check_flags(function, flags, kKnown));
  Call call = named(op::kWrite, path, flags);
  if (mode == VMETTE_MODE_KEEP) return call;
  BOOST_OUTCOME_TRYV(check_mode(function, mode));
  call.flags |= wire::kCallHasMode;
  call.mode = mode;
  return call;
}

Result<Question> read_file_question(const char* function, const char* path, size_t most) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  Question question;
  question.bytes = std::make_shared<BytesSink>(path, most);
  question.spec = {named(op::kRead, path), CallSpec::Content::kToSink, {}, question.bytes};
  question.answer = Answer::kBuffer;
  return question;
}

Result<Question> write_file_question(const char* function, const char* path, const void* data,
                                     size_t size, uint32_t flags, uint32_t mode) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  if (data == nullptr && size != 0) return null_error(function, "data");
  auto call = write_call(function, path, flags, mode);
  if (!call) return call.error();
  Question question;
  question.spec = {std::move(call.value()), CallSpec::Content::kFromBytes, {}, {}};
  if (size != 0) question.spec.bytes.assign(static_cast<const char*>(data), size);
  return question;
}

Result<Question> stat_question(const char* function, const char* path, uint32_t flags) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_FOLLOW));
  return without_content(named(op::kStat, path, flags), Answer::kStat);
}

Result<Question> exists_question(const char* function, const char* path) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  return without_content(named(op::kStat, path), Answer::kExists);
}

Result<Question> list_question(const char* function, const char* path) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  Question question;
  question.entries = std::make_shared<ListingSink>(path);
  question.spec = {named(op::kList, path), CallSpec::Content::kToSink, {}, question.entries};
  question.answer = Answer::kListing;
  return question;
}

Result<Question> mkdir_question(const char* function, const char* path, uint32_t mode,
                                uint32_t flags) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_PARENTS));
  BOOST_OUTCOME_TRYV(check_mode(function, mode));
  Call call = named(op::kMkdir, path, flags);
  call.mode = mode;
  return without_content(std::move(call));
}

Result<Question> remove_question(const char* function, const char* path, uint32_t flags) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_RECURSIVE));
  return without_content(named(op::kRemove, path, flags));
}

Result<Question> rename_question(const char* function, const char* path, const char* to,
                                 uint32_t flags) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  BOOST_OUTCOME_TRYV(check_text(function, "to", to));
  BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_EXCLUSIVE));
  Call call = named(op::kRename, path, flags);
  call.to = to;
  return without_content(std::move(call));
}

Result<Question> symlink_question(const char* function, const char* target, const char* path) {
  BOOST_OUTCOME_TRYV(check_text(function, "target", target));
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  Call call = named(op::kSymlink, path);
  call.to = target;
  return without_content(std::move(call));
}

Result<Question> chmod_question(const char* function, const char* path, uint32_t mode) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  BOOST_OUTCOME_TRYV(check_mode(function, mode));
  Call call = named(op::kChmod, path);
  call.mode = mode;
  return without_content(std::move(call));
}

Result<Question> chown_question(const char* function, const char* path, int64_t uid, int64_t gid,
                                uint32_t flags) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_FOLLOW));
  for (const auto& [name, id] : {std::pair{"uid", uid}, std::pair{"gid", gid}})
    if (id < -1 || id >= int64_t{UINT32_MAX})
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: argument '{}' is {}; pass a number below {}, or -1 to leave it",
                               function, name, id, UINT32_MAX));
  Call call = named(op::kChown, path, flags);
  call.uid = uid;
  call.gid = gid;
  return without_content(std::move(call));
}

Result<Question> set_mtime_question(const char* function, const char* path, int64_t mtime_ns,
                                    uint32_t flags) {
  BOOST_OUTCOME_TRYV(check_text(function, "path", path));
  BOOST_OUTCOME_TRYV(check_flags(function, flags, VMETTE_FILE_FOLLOW));
  Call call = named(op::kSetMtime, path, flags);
  call.mtime_ns = mtime_ns;
  return without_content(std::move(call));
}

Result<Question> stats_question(const char* /*function*/) {
  Call call;
  call.op = op::kStats;
  return without_content(std::move(call), Answer::kStats);
}

}  // namespace vmette::capi
