// The library against a guest that breaks a rule while a call is under way (call_scripts.cpp).
#include <cerrno>
#include <chrono>
#include <string>

#include "host.h"
#include "support/catch.h"
#include "support/temp_dir.h"

namespace vmette_test {
namespace {

using std::chrono::milliseconds;
using vmette::ErrorCode;

struct Case {
  const char* script;
  const char* message;
};

constexpr Case kViolations[] = {
    {"read-result-truncated", "its RESULT is wrong"},
    {"read-result-before-end", "it sent RESULT before the end of the content"},
    {"read-result-of-other-bytes", "its RESULT says 4 bytes of 3"},
    {"read-answered-twice", "it sent RESULT on stream 1, which is not open"},
    {"stream-overrun", "bytes of credit left"},
    {"read-data-after-end", "it sent DATA after the end of the content"},
    {"read-data-on-stderr", "it sent DATA that a call does not have"},
    {"read-credit", "it sent a CREDIT that is none"},
    {"read-started", "it sent STARTED on a call's stream"},
    {"read-exit", "it sent EXIT on a call's stream"},
    {"read-error-malformed", "its ERROR is wrong"},
    {"write-result-before-end", "it sent RESULT before the end of the content"},
    {"write-credit-unused", "it sent a CREDIT that is none"},
    {"write-credit-of-nothing", "it sent a CREDIT that is none"},
    {"write-data", "it sent DATA that a call does not have"},
    {"stat-data", "it sent DATA that a call does not have"},
    {"list-name-empty", "its directory entry is named ''"},
    {"list-name-dots", "its directory entry is named '..'"},
    {"list-name-slash", "its directory entry is named '../../etc/passwd'"},
    {"list-name-nul", "its directory entry is named 'a"},
    {"list-huge-entry", "it announced a directory entry of 2147483647 bytes"},
    {"list-half-entry", "its listing ends within an entry"},
    {"list-malformed-entry", "its directory entry is wrong"},
    {"pack-name-dots", "its tree is wrong: an entry is named '..'"},
    {"pack-half-a-tree", "its tree is wrong: a tree ends before its end"},
};

// The call that the script's name begins with; its error, or one without a code.
vmette::Error call(vmette::Session& session, const std::string& script,
                   milliseconds timeout = kHang) {
  const auto error = [](auto&& result) {
    return result ? vmette::Error() : std::forward<decltype(result)>(result).error();
  };
  const std::string kind = script.substr(0, script.find('-'));
  if (kind == "read") return error(session.read_file("/f", 1 << 20, timeout));
  if (kind == "list") return error(session.list("/f", timeout));
  // Nobody reads the pipe, so nothing is granted.
  if (kind == "stream") {
    const auto transfer = session.open_read("/f");
    return transfer ? error(transfer.value().wait(timeout)) : transfer.error();
  }
  if (kind == "pack") {
    const TempDir dir;
    return error(session.copy_out("/f", dir / "copy"));
  }
  if (kind == "stat") return error(session.stat("/f", vmette::FileFlags::kNone, timeout));
  return error(session.write_file("/f", std::string(8 << 20, 'x'), vmette::FileFlags::kNone,
                                  vmette::kKeepMode, timeout));
}

}  // namespace

TEST_CASE("A guest that breaks a call's rules ends the session, and the call says why") {
  for (const Case& rule : kViolations) {
    const NothingIsLeft before;
    {
      vmette::Session session = ready_session(rule.script);
      const vmette::Error error = call(session, rule.script);
      const std::string message = end_of(session);
      INFO(rule.script << ": " << message);
      CHECK(message.find(rule.message) != std::string::npos);
      CHECK(is_one_clear_line(message));
      CHECK(session.end() == vmette::End::kError);
      // Or it had its answer before the rule was broken, or found that itself.
      const std::string script = rule.script;
      if (script.find("pack-") == 0) {
        CHECK(error.code() == ErrorCode::kGuest);
      } else if (script != "read-answered-twice") {
        CHECK(error.code() == ErrorCode::kSessionEnded);
        CHECK(std::string(error.message()) == "session ended: " + message);
      }
    }
    INFO(rule.script);
    CHECK(before.holds());
  }
}

TEST_CASE("A call that the guest never answers ends at the caller's deadline") {
  for (const char* script : {"read-ignored", "write-ignored"}) {
    vmette::Session session = ready_session(script);
    const vmette::Error error = call(session, script, milliseconds(100));
    CHECK(error.code() == ErrorCode::kDeadline);
    CHECK(session.state() == vmette::State::kReady);
  }
}

TEST_CASE("Whatever a guest says of a failure becomes one clear line and a true errno") {
  vmette::Session absurd = ready_session("read-errno-absurd");
  const vmette::Error number = call(absurd, "read");
  CHECK(number.code() == ErrorCode::kFile);
  CHECK(number.errno_value() == EIO);
  CHECK(is_one_clear_line(number.message()));
  vmette::Session text = ready_session("read-error-hostile-text");
  const vmette::Error line = call(text, "read");
  CHECK(line.errno_value() == ENOENT);
  CHECK(is_one_clear_line(line.message()));
}

TEST_CASE("An answer without what was asked for is an error, and the session goes on") {
  vmette::Session session = ready_session("stat-nothing");
  CHECK(call(session, "stat").code() == ErrorCode::kGuest);
  CHECK(session.state() == vmette::State::kReady);
}

TEST_CASE("A listing without end is given up at its bound") {
  vmette::Session session = ready_session("list-endless");
  const vmette::Error error = call(session, "list", std::chrono::minutes(2));
  CHECK(error.code() == ErrorCode::kFile);
  CHECK(error.errno_value() == EFBIG);
  CHECK(session.state() == vmette::State::kReady);
}

}  // namespace vmette_test
