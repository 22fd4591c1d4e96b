// What stands behind a vmette_call, and what its faces share: the functions of call.h begin and
// leave the rest to the caller, those of file.h begin, wait and take.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "capi/file_handles.h"
#include "capi/machine_handles.h"
#include "core/guest_call.h"
#include "core/listing.h"

namespace vmette::capi {

// What the guest's answer is for the caller.
enum class Answer : uint8_t { kNone, kBuffer, kStat, kExists, kListing, kStats };

struct Question {
  core::CallSpec spec;
  Answer answer = Answer::kNone;
  // Where the content goes to, if the answer is one.
  std::shared_ptr<core::BytesSink> bytes;
  std::shared_ptr<core::ListingSink> entries;
};

}  // namespace vmette::capi

struct vmette_call {
  // In this order: the call and the session go before the reactor.
  std::shared_ptr<vmette::core::Reactor> reactor;
  std::shared_ptr<vmette::core::Session> session;
  std::shared_ptr<vmette::core::GuestCall> call;

  vmette::capi::Answer answer = vmette::capi::Answer::kNone;
  std::shared_ptr<vmette::core::BytesSink> bytes;
  std::shared_ptr<vmette::core::ListingSink> entries;
  std::atomic<bool> taken{false};
};

namespace vmette::capi {

// Questions, from the arguments of the C function `function` (question.cpp).
core::Result<Question> read_file_question(const char* function, const char* path, size_t most);
core::Result<Question> write_file_question(const char* function, const char* path, const void* data,
                                           size_t size, uint32_t flags, uint32_t mode);
core::Result<Question> stat_question(const char* function, const char* path, uint32_t flags);
core::Result<Question> exists_question(const char* function, const char* path);
core::Result<Question> list_question(const char* function, const char* path);
core::Result<Question> mkdir_question(const char* function, const char* path, uint32_t mode,
                                      uint32_t flags);
core::Result<Question> remove_question(const char* function, const char* path, uint32_t flags);
core::Result<Question> rename_question(const char* function, const char* path, const char* to,
                                       uint32_t flags);
core::Result<Question> symlink_question(const char* function, const char* target, const char* path);
core::Result<Question> chmod_question(const char* function, const char* path, uint32_t mode);
core::Result<Question> chown_question(const char* function, const char* path, int64_t uid,
                                      int64_t gid, uint32_t flags);
core::Result<Question> set_mtime_question(const char* function, const char* path, int64_t mtime_ns,
                                          uint32_t flags);
core::Result<Question> stats_question(const char* function);

// The rest stands in call.cpp. Asks and returns at once.
core::Result<std::unique_ptr<vmette_call>> begin_call(const vmette_session& session,
                                                      Question question);
// How a call that is done went.
core::Result<wire::CallResult> outcome_of(const vmette_call& call);
// Each gives the answer away, once.
core::Result<void> take(vmette_call& call, vmette_buffer** out);
core::Result<void> take(vmette_call& call, vmette_stat** out);
core::Result<void> take(vmette_call& call, vmette_listing** out);
core::Result<void> take(vmette_call& call, vmette_stats** out);
core::Result<void> take(vmette_call& call, bool* out);

}  // namespace vmette::capi
