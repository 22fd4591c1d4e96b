// What a hostile guest does to a call. The session is ready and the test makes one call: it reads,
// writes, lists or looks at a file as the script's name begins.
#include <string>

#include "peer.h"
#include "wire/calls.h"

namespace vmette_test {
namespace {

using vmette::wire::CallResult;
using vmette::wire::Channel;
using vmette::wire::Failure;
using vmette::wire::FileInfo;
using vmette::wire::Type;

constexpr size_t kFrame = vmette::wire::kMaxDataBytes;
constexpr uint32_t kWindow = vmette::wire::kInitialCredit;

GuestScript called(std::function<void(FakeGuest&, uint64_t)> play) {
  return [play = std::move(play)](FakeGuest& guest) {
    guest.boot();
    play(guest, guest.await(Type::kCall));
  };
}

GuestScript answered(Type type, std::string payload, uint16_t flags = 0) {
  return called(
      [=](FakeGuest& guest, uint64_t stream) { guest.frame(type, stream, payload, flags); });
}

std::string result_of(uint64_t bytes) {
  CallResult result;
  result.bytes = bytes;
  return encode(result);
}

std::string refusal(int32_t number, std::string path = "", std::string message = "") {
  return encode(Failure{"read", number, std::move(path), std::move(message)});
}

std::string entry(const FileInfo& info) {
  std::string bytes;
  vmette::wire::append_entry(bytes, info);
  return bytes;
}

GuestScript listed(std::string bytes) {
  return called([=](FakeGuest& guest, uint64_t stream) {
    guest.data(stream, bytes, Channel::kStdout, true);
    guest.frame(Type::kResult, stream, result_of(bytes.size()));
  });
}

GuestScript listed_name(const std::string& name) {
  FileInfo info;
  info.name = name;
  return listed(entry(info));
}

std::map<std::string, GuestScript> reads() {
  return {
      {"read-ignored", called([](FakeGuest&, uint64_t) {})},
      {"read-result-truncated", answered(Type::kResult, "\xa1")},
      {"read-result-before-end", answered(Type::kResult, result_of(0))},
      {"read-result-of-other-bytes", called([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, "abc", Channel::kStdout, true);
         guest.frame(Type::kResult, stream, result_of(4));
       })},
      {"read-answered-twice", called([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, {}, Channel::kStdout, true);
         guest.frame(Type::kResult, stream, result_of(0));
         guest.frame(Type::kResult, stream, result_of(0));
       })},
      {"stream-overrun", called([](FakeGuest& guest, uint64_t stream) {
         for (size_t sent = 0; sent < 2 * kWindow; sent += kFrame)
           guest.data(stream, std::string(kFrame, 'x'), Channel::kStdout);
       })},
      {"read-data-after-end", called([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, {}, Channel::kStdout, true);
         guest.data(stream, "x", Channel::kStdout);
       })},
      {"read-data-on-stderr", called([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, "x", Channel::kStderr);
       })},
      {"read-credit",
       called([](FakeGuest& guest, uint64_t stream) { guest.credit(stream, kWindow); })},
      {"read-started", answered(Type::kStarted, "\xa0")},
      {"read-exit", answered(Type::kExit, "\xa0")},
      {"read-error-malformed", answered(Type::kError, "\xff")},
      {"read-errno-absurd", answered(Type::kError, refusal(-5, std::string(100'000, '\n')))},
      {"read-error-hostile-text", answered(Type::kError, refusal(2, "/x", "\x1b[2J\xff"))},
  };
}

std::map<std::string, GuestScript> others() {
  return {
      {"write-result-before-end", answered(Type::kResult, result_of(0))},
      {"write-credit-unused",
       called([](FakeGuest& guest, uint64_t stream) { guest.credit(stream, kWindow + 1); })},
      {"write-credit-of-nothing",
       called([](FakeGuest& guest, uint64_t stream) { guest.credit(stream, 0); })},
      {"write-data", called([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, "x", Channel::kStdout);
       })},
      {"write-ignored", called([](FakeGuest&, uint64_t) {})},
      {"stat-data", called([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, "x", Channel::kStdout);
       })},
      {"stat-nothing", answered(Type::kResult, "\xa0")},
      {"list-name-empty", listed_name("")},
      {"list-name-dots", listed_name("..")},
      {"list-name-slash", listed_name("../../etc/passwd")},
      {"list-name-nul", listed_name(std::string("a\0b", 3))},
      {"pack-name-dots", called([](FakeGuest& guest, uint64_t stream) {
         FileInfo top;
         top.mode = 0040755;
         FileInfo out;
         out.name = "..";
         out.mode = 0040755;
         guest.data(stream, entry(top) + entry(out), Channel::kStdout);
         guest.await(Type::kShutdown);
       })},
      {"pack-half-a-tree", called([](FakeGuest& guest, uint64_t stream) {
         FileInfo top;
         top.mode = 0040755;
         const std::string half = entry(top);
         guest.data(stream, half, Channel::kStdout, true);
         guest.frame(Type::kResult, stream, result_of(half.size()));
         guest.await(Type::kShutdown);
       })},
      {"list-huge-entry", listed(std::string("\xff\xff\xff\x7f", 4))},
      {"list-half-entry", listed(std::string("\x10\0\0\0ab", 6))},
      {"list-malformed-entry", listed(std::string("\x02\0\0\0\xff\xff", 6))},
      {"list-endless", called([](FakeGuest& guest, uint64_t stream) {
         FileInfo info;
         info.name = "n";
         std::string many;
         while (many.size() < kFrame / 2) many += entry(info);
         uint64_t allowed = kWindow;
         for (;;) {
           for (; allowed >= many.size(); allowed -= many.size())
             guest.data(stream, many, Channel::kStdout);
           guest.await(Type::kCredit);
           allowed += kWindow / 4;
         }
       })},
  };
}

}  // namespace

const std::map<std::string, GuestScript>& call_scripts() {
  static const auto all = [] {
    auto scripts = reads();
    scripts.merge(others());
    return scripts;
  }();
  return all;
}

}  // namespace vmette_test
