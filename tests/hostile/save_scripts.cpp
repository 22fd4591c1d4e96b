// What a hostile guest, or a broken helper, does to a save. The session is ready and the test saves
// it once.
#include <sys/stat.h>

#include <cstddef>
#include <fstream>
#include <span>
#include <string>

#include "peer.h"

namespace vmette_test {
namespace {

using nlohmann::json;
using vmette::wire::Channel;
using vmette::wire::Failure;
using vmette::wire::Quiesced;
using vmette::wire::Type;
using vmette::wire::Wake;

// What the guest does when it is asked to stand still.
HelperScript asked(std::function<void(FakeHelper&, FakeGuest&)> play) {
  return [play = std::move(play)](FakeHelper& helper) {
    FakeGuest guest = helper.bring_up_to_save();
    guest.boot();
    guest.await(Type::kQuiesce);
    play(helper, guest);
    helper.serve();
  };
}

// What happens once it does and the helper was asked to save.
HelperScript saving(std::function<void(FakeHelper&, FakeGuest&, const json&)> play) {
  return asked([play = std::move(play)](FakeHelper& helper, FakeGuest& guest) {
    guest.frame(Type::kQuiesced, 0, encode(Quiesced{3}));
    play(helper, guest, helper.request());
  });
}

// What the guest does when it is told to go on.
HelperScript waking(std::function<void(FakeGuest&)> play) {
  return saving([play = std::move(play)](FakeHelper& helper, FakeGuest& guest, const json&) {
    helper.line(R"({"event":"continued"})");
    play(guest);
  });
}

std::string nonce_of(const std::string& payload) {
  return vmette::wire::decode<Wake>(std::as_bytes(std::span(payload))).value->nonce;
}

void wake_up(FakeGuest& guest) {
  guest.hello(nonce_of(guest.await_payload(Type::kWake)));
}

json write_files(const json& request) {
  const std::string directory = request.at("dir");
  mkdir(directory.c_str(), 0700);
  json files = json::array();
  for (const char* name : {"ram", "devices"}) {
    std::ofstream(directory + "/" + name) << "QEVM";
    files.push_back({{"name", name}, {"size", 4}, {"stored", 4096}});
  }
  return {{"pause_us", 1000}, {"files", files}};
}

}  // namespace

const std::map<std::string, HelperScript>& save_scripts() {
  static const std::map<std::string, HelperScript> scripts = {
      {"save-quiesced-twice", asked([](FakeHelper&, FakeGuest& guest) {
         guest.frame(Type::kQuiesced, 0, encode(Quiesced{3}));
         guest.frame(Type::kQuiesced, 0, encode(Quiesced{3}));
       })},
      {"save-quiesced-truncated",
       asked([](FakeHelper&, FakeGuest& guest) { guest.frame(Type::kQuiesced, 0, "\xa1"); })},
      {"save-hello-instead", asked([](FakeHelper&, FakeGuest& guest) { guest.hello(); })},
      {"save-data-from-nowhere",
       asked([](FakeHelper&, FakeGuest& guest) { guest.data(77, "x", Channel::kStdout); })},
      {"save-speaks-while-still", saving([](FakeHelper&, FakeGuest& guest, const json&) {
         guest.data(77, "x", Channel::kStdout);
       })},
      {"save-wake-refused", waking([](FakeGuest& guest) {
         guest.await(Type::kWake);
         guest.frame(Type::kError, 0, encode(Failure{"wake", 5, "/x", "no\nway"}));
       })},
      {"save-wake-flooded", waking([](FakeGuest& guest) {
         guest.await(Type::kWake);
         const std::string junk(vmette::wire::kMaxDataBytes, 'x');
         for (;;) guest.data(1, junk, Channel::kStdout);
       })},
      {"save-other-nonces", waking([](FakeGuest& guest) {
         guest.await(Type::kWake);
         for (;;) guest.hello("another");
       })},
      {"save-busy", asked([](FakeHelper&, FakeGuest& guest) {
         guest.frame(Type::kError, 0,
                     encode(Failure{"quiesce", 16, "/mnt\n/x", "busy: 7 (\x1b[31mevil\xff)"}));
       })},
      {"save-says-nothing-of-it",
       saving([](FakeHelper& helper, FakeGuest& guest, const json& save) {
         helper.ok(save);
         wake_up(guest);
       })},
      {"save-never-continued", saving([](FakeHelper& helper, FakeGuest& guest, const json& save) {
         helper.ok(save, write_files(save));
         wake_up(guest);
       })},
  };
  return scripts;
}

}  // namespace vmette_test
