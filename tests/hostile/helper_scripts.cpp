// What a broken helper does. Each breaks docs/vmm-protocol.md in one place.
#include <unistd.h>

#include <string>

#include "peer.h"

namespace vmette_test {
namespace {

using nlohmann::json;

HelperScript says(std::string text) {
  return [text = std::move(text)](FakeHelper& helper) {
    helper.line(text);
    helper.serve();
  };
}

// A helper that brings a good machine up and then sends one line.
HelperScript later_says(std::string text) {
  return [text = std::move(text)](FakeHelper& helper) {
    FakeGuest guest = helper.bring_up();
    guest.boot();
    helper.line(text);
    helper.serve();
  };
}

HelperScript answers_create(json answer) {
  return [answer = std::move(answer)](FakeHelper& helper) {
    json line = answer;
    line["id"] = helper.create().at("id");
    helper.line(line.dump());
    helper.serve();
  };
}

[[noreturn]] void hang() {
  for (;;) ::pause();
}

[[noreturn]] void die() {
  ::_exit(7);
}

void two_channels(FakeHelper& helper) {
  FakeGuest first = helper.bring_up();
  FakeGuest second = helper.channel();
  first.boot();
  helper.serve();
}

void channel_without_descriptor(FakeHelper& helper) {
  helper.line(R"({"event":"channel"})");
  helper.serve();
}

// Keeps its socket and itself alive when the library lets go.
void does_not_leave(FakeHelper& helper) {
  FakeGuest guest = helper.bring_up();
  guest.boot();
  try {
    helper.serve();
  } catch (const HostGone&) {
    hang();
  }
}

void console_flood(FakeHelper& helper) {
  FakeGuest guest = helper.bring_up();
  guest.boot();
  const std::string line =
      json{{"event", "console"}, {"data", std::string(80'000, 'A')}, {"dropped", 0}}.dump();
  for (;;) helper.line(line);
}

void answers_pause_never(FakeHelper& helper) {
  FakeGuest guest = helper.bring_up();
  guest.boot();
  helper.request();
  hang();
}

std::map<std::string, HelperScript> lines() {
  const std::string deep = std::string(500'000, '[');
  return {
      {"helper-garbage", says("\x01\xff not json")},
      {"helper-no-object", says("[1,2,3]")},
      {"helper-empty-line", says("")},
      {"helper-long-line", says(std::string(3'000'000, 'x'))},
      {"helper-deep", says(R"({"event":)" + deep)},
      {"helper-deep-whole", says(deep + std::string(500'000, ']'))},
      {"helper-unknown-id", says(R"({"id":999,"ok":{}})")},
      {"helper-negative-id", says(R"({"id":-1,"ok":{}})")},
      {"helper-text-id", says(R"({"id":"1","ok":{}})")},
      {"helper-no-answer-no-event", says("{}")},
      {"helper-event-of-no-text", says(R"({"event":{"a":1}})")},
      {"helper-failed", says(R"({"event":"failed","stage":"x\ny","message":"line\nbreak"})")},
      {"helper-failed-types", says(R"({"event":"failed","stage":1,"message":[]})")},
      {"helper-stopped-early", says(R"({"event":"stopped"})")},
      {"helper-ok-no-object", answers_create({{"ok", 5}})},
      {"helper-ok-types", answers_create({{"ok", {{"cmdline", 1}, {"accel", json::array()}}}})},
      {"helper-error-no-object", answers_create({{"error", "x"}})},
      {"helper-error-types", answers_create({{"error", {{"stage", 1}, {"code", 2}}}})},
      {"helper-answers-twice",
       [](FakeHelper& helper) {
         helper.ok(helper.create());
         helper.ok(helper.create());
         helper.serve();
       }},
  };
}

std::map<std::string, HelperScript> deeds() {
  return {
      {"helper-dies-at-create", [](FakeHelper&) { die(); }},
      {"helper-dies-at-start",
       [](FakeHelper& helper) {
         helper.ok(helper.create());
         helper.request();
         die();
       }},
      {"helper-dies-at-boot",
       [](FakeHelper& helper) {
         FakeGuest guest = helper.bring_up();
         guest.hello();
         die();
       }},
      {"helper-dies-when-ready",
       [](FakeHelper& helper) {
         FakeGuest guest = helper.bring_up();
         guest.boot();
         guest.start_command();
         die();
       }},
      {"helper-hangs-at-create", [](FakeHelper&) { hang(); }},
      {"helper-hangs-at-start",
       [](FakeHelper& helper) {
         helper.ok(helper.create());
         hang();
       }},
      {"helper-hangs-at-pause", answers_pause_never},
      {"helper-two-channels", two_channels},
      {"helper-channel-without-descriptor", channel_without_descriptor},
      {"helper-does-not-leave", does_not_leave},
      {"helper-console-flood", console_flood},
      {"helper-later-garbage", later_says("}{")},
      {"helper-later-unknown-event", later_says(R"({"event":"party","x":1})")},
      {"helper-later-bad-console", later_says(R"({"event":"console","data":"***","dropped":-5})")},
      {"helper-later-console-types", later_says(R"({"event":"console","data":{}})")},
      {"helper-later-stopped-types", later_says(R"({"event":"stopped","reason":4})")},
  };
}

}  // namespace

const std::map<std::string, HelperScript>& helper_scripts() {
  static const auto all = [] {
    auto scripts = lines();
    scripts.merge(deeds());
    return scripts;
  }();
  return all;
}

}  // namespace vmette_test
