// What a hostile guest does to a command. The session is ready and the test starts one command,
// with stdin, stdout and stderr as pipes unless it says otherwise.
#include <chrono>
#include <limits>
#include <string>
#include <thread>

#include "peer.h"

namespace vmette_test {
namespace {

using vmette::wire::Channel;
using vmette::wire::Exit;
using vmette::wire::Type;

constexpr size_t kFrame = vmette::wire::kMaxDataBytes;
constexpr uint32_t kWindow = vmette::wire::kInitialCredit;
// Long enough for the host to use a window of credit.
constexpr std::chrono::milliseconds kHostSends{20};

GuestScript before_start(std::function<void(FakeGuest&, uint64_t)> play) {
  return [play = std::move(play)](FakeGuest& guest) {
    guest.boot();
    play(guest, guest.await(Type::kExec));
  };
}

GuestScript running(std::function<void(FakeGuest&, uint64_t)> play) {
  return [play = std::move(play)](FakeGuest& guest) {
    guest.boot();
    play(guest, guest.start_command());
  };
}

GuestScript running_frame(Type type, std::string payload, uint16_t flags = 0) {
  return running(
      [=](FakeGuest& guest, uint64_t stream) { guest.frame(type, stream, payload, flags); });
}

GuestScript exit_of(const Exit& exit) {
  return running_frame(Type::kExit, encode(exit));
}

Exit exit_with(bool signalled, int32_t status) {
  Exit exit;
  exit.signalled = signalled;
  exit.status = status;
  return exit;
}

void end_well(FakeGuest& guest, uint64_t stream, const Exit& exit = {}) {
  guest.data(stream, {}, Channel::kStdout, true);
  guest.data(stream, {}, Channel::kStderr, true);
  guest.exit(stream, exit);
}

// Numbers that no command can have.
void absurd_exit(FakeGuest& guest, uint64_t stream) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  end_well(guest, stream, {true, 64, true, kMost, kMost, kMost, kMost, kMost, kMost});
}

// As much output as the host's credit allows, for ever.
void endless_output(FakeGuest& guest, uint64_t stream) {
  const std::string bytes(kFrame, 'x');
  uint64_t allowed = kWindow;
  for (;;) {
    while (allowed >= kFrame) {
      guest.data(stream, bytes, Channel::kStdout);
      allowed -= kFrame;
    }
    guest.await(Type::kCredit);
    // The host grants in pieces of a quarter window or more.
    allowed += kWindow / 4;
  }
}

// Credit for stdin as the host uses it, though nothing is ever read.
void credit_without_reading(FakeGuest& guest, uint64_t stream) {
  std::this_thread::sleep_for(kHostSends);
  for (;;) {
    guest.credit(stream, kWindow);
    std::this_thread::sleep_for(kHostSends);
  }
}

void empty_frames(FakeGuest& guest, uint64_t stream) {
  for (;;) guest.data(stream, {}, Channel::kStdout);
}

// More than the host's pipe holds, and the end of the command.
void window_then_exit(FakeGuest& guest, uint64_t stream) {
  const std::string bytes(kFrame, 'x');
  for (size_t sent = 0; sent < kWindow; sent += kFrame) guest.data(stream, bytes, Channel::kStdout);
  guest.await(Type::kCredit);
  guest.data(stream, bytes, Channel::kStdout, true);
  guest.data(stream, {}, Channel::kStderr, true);
  guest.exit(stream);
  guest.start_command();
}

// Waits for SHUTDOWN and never says BYE.
void no_bye(FakeGuest& guest) {
  guest.boot();
  guest.start_command();
  guest.await(Type::kShutdown);
  for (;;) guest.await(Type::kShutdown);
}

void talks_after_bye(FakeGuest& guest) {
  guest.boot();
  const uint64_t stream = guest.start_command();
  guest.await(Type::kShutdown);
  guest.frame(Type::kBye, 0);
  for (;;) guest.data(stream, "x", Channel::kStdout);
}

// Waits for the next request of the host and breaks the protocol at once.
void garbage_in_shutdown(FakeGuest& guest) {
  guest.boot();
  guest.start_command();
  guest.await(Type::kShutdown);
  guest.raw(std::string(64, '\xff'));
}

std::map<std::string, GuestScript> starting() {
  const auto started = encode(vmette::wire::Started{1, 1});
  const auto failure = encode(vmette::wire::Failure{"exec", 2, "/x", "no such program"});
  return {
      {"exec-ignored", before_start([](FakeGuest&, uint64_t) {})},
      {"started-truncated", before_start([](FakeGuest& guest, uint64_t stream) {
         guest.frame(Type::kStarted, stream, "\xa1");
       })},
      {"started-twice", running_frame(Type::kStarted, started)},
      {"refused-after-start", running_frame(Type::kError, failure)},
      {"refused-twice", before_start([=](FakeGuest& guest, uint64_t stream) {
         guest.frame(Type::kError, stream, failure);
         guest.frame(Type::kError, stream, failure);
       })},
      {"refused-malformed", before_start([](FakeGuest& guest, uint64_t stream) {
         guest.frame(Type::kError, stream, std::string(3, '\xff'));
       })},
      {"refused-hostile-text", before_start([](FakeGuest& guest, uint64_t stream) {
         guest.frame(Type::kError, stream,
                     encode(vmette::wire::Failure{
                         "\xed\xa0\x80", std::numeric_limits<int32_t>::min(),
                         std::string(200'000, '\n'), std::string(20'000, '\xf5')}));
       })},
      {"data-before-start", before_start([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, "x", Channel::kStdout);
       })},
      {"exit-before-start",
       before_start([](FakeGuest& guest, uint64_t stream) { guest.exit(stream); })},
      {"credit-before-start",
       before_start([](FakeGuest& guest, uint64_t stream) { guest.credit(stream, 1); })},
      {"started-on-the-next-stream", before_start([=](FakeGuest& guest, uint64_t stream) {
         guest.frame(Type::kStarted, stream + 1, started);
       })},
  };
}

std::map<std::string, GuestScript> streaming() {
  const auto two_windows = [](Channel channel) {
    return running([channel](FakeGuest& guest, uint64_t stream) {
      for (size_t sent = 0; sent < 2 * kWindow; sent += kFrame)
        guest.data(stream, std::string(kFrame, 'x'), channel);
    });
  };
  return {
      {"stdout-overrun", two_windows(Channel::kStdout)},
      {"stderr-overrun", two_windows(Channel::kStderr)},
      {"data-on-stdin", running([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, "x", Channel::kStdin);
       })},
      {"data-after-eof", running([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, "x", Channel::kStdout, true);
         guest.data(stream, "x", Channel::kStdout);
       })},
      {"eof-twice", running([](FakeGuest& guest, uint64_t stream) {
         guest.data(stream, {}, Channel::kStderr, true);
         guest.data(stream, {}, Channel::kStderr, true);
       })},
      {"credit-unused",
       running([](FakeGuest& guest, uint64_t stream) { guest.credit(stream, kWindow); })},
      {"credit-too-large",
       running([](FakeGuest& guest, uint64_t stream) { guest.credit(stream, 0xffff'ffff); })},
      {"credit-of-nothing",
       running([](FakeGuest& guest, uint64_t stream) { guest.credit(stream, 0); })},
      {"credit-too-short", running_frame(Type::kCredit, "\x01\x02\x03")},
      {"credit-empty", running_frame(Type::kCredit, "")},
      {"credit-on-stdout", running([](FakeGuest& guest, uint64_t stream) {
         guest.credit(stream, 1, Channel::kStdout);
       })},
      {"endless-output", running(endless_output)},
      {"credit-without-reading", running(credit_without_reading)},
      {"empty-frames", running(empty_frames)},
      {"window-then-exit", running(window_then_exit)},
  };
}

std::map<std::string, GuestScript> ending() {
  return {
      {"exit-truncated", running_frame(Type::kExit, "\xbf")},
      {"exit-256", exit_of(exit_with(false, 256))},
      {"exit-negative", exit_of(exit_with(false, -1))},
      {"exit-signal-65", exit_of(exit_with(true, 65))},
      {"exit-twice", running([](FakeGuest& guest, uint64_t stream) {
         guest.exit(stream);
         guest.exit(stream);
       })},
      {"exit-after-the-end", running([](FakeGuest& guest, uint64_t stream) {
         end_well(guest, stream);
         guest.exit(stream);
       })},
      {"hello-on-a-command", running_frame(Type::kHello, "\xa0")},
      {"result-on-a-command", running_frame(Type::kResult, "\xa0")},
      {"exit-absurd", running(absurd_exit)},
      {"exit-without-output", running([](FakeGuest& guest, uint64_t stream) {
         Exit exit;
         exit.out_bytes = std::numeric_limits<uint64_t>::max();
         guest.exit(stream, exit);
       })},
      {"closed-while-running", running([](FakeGuest& guest, uint64_t) { guest.close(); })},
      {"no-bye", no_bye},
      {"talks-after-bye", talks_after_bye},
      {"garbage-in-shutdown", garbage_in_shutdown},
  };
}

}  // namespace

const std::map<std::string, GuestScript>& command_scripts() {
  static const auto all = [] {
    auto scripts = starting();
    scripts.merge(streaming());
    scripts.merge(ending());
    return scripts;
  }();
  return all;
}

}  // namespace vmette_test
