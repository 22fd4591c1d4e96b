// The library's own error and result types; lib/capi turns them into vmette_error.
#pragma once

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <boost/outcome/try.hpp>
#include <cstdint>
#include <string>
#include <utility>

namespace vmette::core {

// Same numbers as VMETTE_E_* (asserted in lib/capi).
enum class Code : int32_t {
  kInvalidArgument = 1,
  kInvalidConfig = 2,
  kNotFound = 3,
  kStartFailed = 4,
  kGuest = 5,
  kSpawn = 6,
  kDeadline = 7,
  kSessionEnded = 8,
  kState = 9,
  kUnsupported = 10,
  kIo = 11,
  kNoMemory = 12,
  kInternal = 13,
  kInvalidSpec = 14,
  kOfflineCacheMiss = 15,
  kNetwork = 16,
  kProvider = 17,
  kCancelled = 18,
  kFile = 19,
  kRestoreFailed = 20,
  kSnapshot = 21,
};

struct Error {
  Code code = Code::kInternal;
  std::string message;  // one line
  std::string stage;    // may be empty
  std::string console;  // last console lines, may be empty
  int32_t error_number = 0;
  uint64_t elapsed_ms = 0;

  Error() = default;
  Error(Code c, std::string m, std::string s = {}, int32_t number = 0)
      : code(c), message(std::move(m)), stage(std::move(s)), error_number(number) {}
};

// Using value() of a failure is a bug and terminates.
template <class T>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;

inline auto success() {
  return boost::outcome_v2::success();
}

// "could not open /x: Permission denied", with the errno kept.
Error os_error(const std::string& what, int error_number, std::string stage = {});

// The text of an errno without touching shared state.
std::string errno_text(int error_number);

// One line: control characters become spaces, invalid UTF-8 becomes '?', long text is cut.
std::string one_line(const std::string& text);

bool is_utf8(const std::string& text);

}  // namespace vmette::core
