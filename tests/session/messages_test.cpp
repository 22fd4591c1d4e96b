#include "wire/messages.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "support/catch.h"
#include "support/text.h"
#include "wire/calls.h"

namespace wire = vmette::wire;
using nlohmann::json;
using vmette_test::contains;
using wire::decode;
using wire::encode;

namespace {

// Neither UTF-8 nor without NUL.
const std::string kBytes("a\xff\x80\0z", 5);

wire::Bytes view(const std::string& bytes) {
  return std::as_bytes(std::span(bytes.data(), bytes.size()));
}

std::string cbor(const json& value) {
  std::string out;
  json::to_cbor(value, out);
  return out;
}

json parsed(const std::string& bytes) {
  return json::from_cbor(bytes);
}

template <class T>
T through(const T& message) {
  const auto back = decode<T>(view(encode(message)));
  INFO(back.error);
  REQUIRE(back.value);
  // Encoding what was decoded gives the same bytes: no field was lost or changed on the way.
  CHECK(encode(*back.value) == encode(message));
  return *back.value;
}

template <class T>
std::string error_of(const std::string& bytes) {
  const auto back = decode<T>(view(bytes));
  CHECK(back.value.has_value() == back.error.empty());
  return back.error;
}

wire::Setup full_setup() {
  wire::Setup setup;
  setup.generation = 3;
  setup.hostname = "host";
  setup.realtime_ns = UINT64_MAX;
  setup.entropy = kBytes;
  setup.root = {wire::RootKind::kBlock, "disk0", "erofs", wire::UpperKind::kDisk, "disk1"};
  setup.shares = {{"one", true, kBytes, true}, {"two", false, "/mnt/two", false}};
  setup.disks = {{"disk0", "ext4"}, {"data", ""}};
  setup.env = {{"A", kBytes}, {"B", ""}, {"A", "again"}};
  setup.switch_root = true;
  setup.ca_certs = kBytes;
  return setup;
}

wire::Exec full_exec() {
  wire::Exec exec;
  exec.argv = {"prog", "", kBytes};
  exec.env = {{"K", kBytes}};
  exec.clear_env = true;
  exec.cwd = kBytes;
  exec.user = "1000:1000";
  exec.in = wire::Stdio::kStream;
  exec.out = wire::Stdio::kNull;
  exec.err = wire::Stdio::kNull;
  exec.tty = wire::WindowSize{50, 132};
  exec.echo = false;
  exec.raw = true;
  exec.term = "vt100";
  return exec;
}

wire::Exit full_exit() {
  return {true, 9, true, UINT64_MAX, 2, 3, 4, 5, 6};
}

wire::Wake full_wake() {
  wire::Wake wake;
  wake.restored = true;
  wake.nonce = kBytes;
  wake.realtime_ns = UINT64_MAX;
  wake.entropy = kBytes;
  wake.hostname = "clone";
  wake.machine_id = "0123456789abcdef0123456789abcdef";
  wake.env = {{"A", kBytes}};
  wake.shares = full_setup().shares;
  wake.hold = true;
  return wake;
}

}  // namespace

TEST_CASE("every message comes back with every field") {
  const auto hello = through(wire::Hello{7, 2, "0.1", "6.1.0", "x86_64", 100, 200, kBytes});
  CHECK(hello.generation == 7);
  CHECK(hello.oldest_generation == 2);
  CHECK(hello.arch == "x86_64");
  CHECK(hello.now_us == 200);
  CHECK(hello.nonce == kBytes);

  const auto setup = through(full_setup());
  CHECK(setup.realtime_ns == UINT64_MAX);
  CHECK(setup.entropy == kBytes);
  CHECK(setup.root.upper == wire::UpperKind::kDisk);
  CHECK(setup.shares.at(0).target == kBytes);
  CHECK(setup.shares.at(1).virtiofs == false);
  CHECK(setup.env == full_setup().env);
  CHECK(setup.switch_root);
  CHECK(setup.ca_certs == kBytes);
  CHECK(setup.disks.at(1).serial == "data");
  CHECK(setup.disks.at(0).fstype == "ext4");

  const auto ready = through(wire::Ready{5, {{"modules", 1}, {"root", 2}}});
  CHECK(ready.steps.at(1).name == "root");
  CHECK(through(wire::Failure{"exec", -1, kBytes, kBytes}).path == kBytes);

  const auto exec = through(full_exec());
  CHECK(exec.argv == full_exec().argv);
  CHECK(exec.tty->cols == 132);
  CHECK(exec.err == wire::Stdio::kNull);
  wire::Exec line;
  line.argv = {"echo hi"};
  line.shell = true;
  CHECK(through(line).shell);
  CHECK_FALSE(through(line).tty);

  CHECK(through(wire::Started{UINT32_MAX, 1}).pid == UINT32_MAX);
  CHECK(through(full_exit()).max_rss_kib == 6);
  CHECK(through(wire::Signal{15, wire::SignalScope::kTree}).scope == wire::SignalScope::kTree);
  CHECK(through(wire::WindowSize{1, 65535}).cols == 65535);
  CHECK(through(wire::Shutdown{UINT32_MAX}).grace_ms == UINT32_MAX);
}

TEST_CASE(
    "numbers of every width and sign in EXIT and STARTED are written as a CBOR library does") {
  for (const uint64_t number :
       {uint64_t{1}, uint64_t{23}, uint64_t{24}, uint64_t{255}, uint64_t{256}, uint64_t{65535},
        uint64_t{65536}, uint64_t{UINT32_MAX}, uint64_t{UINT32_MAX} + 1, UINT64_MAX}) {
    CHECK(encode(wire::Started{0, number}).size() == cbor({{"pid", 0}, {"now_us", number}}).size());
    wire::Exit exit;
    exit.wall_us = number;
    CHECK(encode(exit) == cbor({{"wall_us", number}}));
  }
  for (const int32_t status : {1, 255, INT32_MAX, -1, -24, -25, -256, -257, INT32_MIN}) {
    wire::Exit exit;
    exit.status = status;
    CHECK(encode(exit) == cbor({{"status", status}}));
  }
  const json all = parsed(encode(full_exit()));
  CHECK(all.size() == 9);
  CHECK(all["oom"] == true);
  CHECK(all["out_bytes"] == UINT64_MAX);
  CHECK(encode(wire::Exit{}) == cbor(json::object()));
}

TEST_CASE("the messages around a save come back with every field") {
  CHECK(through(wire::Quiesce{UINT32_MAX}).timeout_ms == UINT32_MAX);
  CHECK(through(wire::Quiesced{UINT64_MAX}).frozen == UINT64_MAX);
  const auto wake = through(full_wake());
  CHECK(wake.restored);
  CHECK(wake.nonce == kBytes);
  CHECK(wake.realtime_ns == UINT64_MAX);
  CHECK(wake.entropy == kBytes);
  CHECK(wake.hostname == "clone");
  CHECK(wake.machine_id == full_wake().machine_id);
  CHECK(wake.env == full_wake().env);
  CHECK(wake.shares.at(0).target == kBytes);
  CHECK(wake.shares.at(0).virtiofs);
  CHECK(wake.hold);
  const auto plain = through(wire::Wake{});
  CHECK_FALSE(plain.restored);
  CHECK_FALSE(plain.hold);
}

TEST_CASE("a machine ID that is not 32 lower-case hex digits is an error") {
  const auto error = [](const char* id) {
    return error_of<wire::Wake>(cbor({{"machine_id", id}}));
  };
  CHECK(error("").empty());
  CHECK(error("0123456789abcdef0123456789abcdef").empty());
  CHECK(contains(error("0123456789abcdef0123456789abcde"), "machine_id"));
  CHECK(contains(error("0123456789abcdef0123456789abcdef0"), "machine_id"));
  CHECK(contains(error("0123456789ABCDEF0123456789abcdef"), "machine_id"));
  CHECK(contains(error("0123456789abcdef0123456789abcde\n"), "machine_id"));
}

TEST_CASE("a key that is missing or null means its default and an unknown one is ignored") {
  const std::string empty = cbor(json::object());
  CHECK(decode<wire::Setup>(view(empty)).value->root.upper == wire::UpperKind::kTmpfs);
  CHECK(decode<wire::WindowSize>(view(empty)).value->cols == 80);
  CHECK(decode<wire::Exit>(view(empty)).value->status == 0);
  CHECK(decode<wire::Signal>(view(cbor({{"scope", nullptr}}))).value->scope ==
        wire::SignalScope::kGroup);
  const std::string extra = cbor({{"grace_ms", 5}, {"future", {{"deep", json::array({1, 2})}}}});
  CHECK(decode<wire::Shutdown>(view(extra)).value->grace_ms == 5);
  // The oldest generation of an agent that does not say is its newest.
  CHECK(decode<wire::Hello>(view(cbor({{"generation", 4}}))).value->oldest_generation == 4);
}

TEST_CASE("a field of the wrong type is an error that names the field") {
  const auto check = [](const std::string& whole, auto decoder) {
    const json message = parsed(whole);
    for (const auto& [key, value] : message.items()) {
      // A list is no number, text or map; a number is no list.
      json wrong = message;
      wrong[key] = value.is_array() ? json(1) : json::array({json::object()});
      const std::string error = decoder(cbor(wrong));
      INFO(key << ": " << error);
      CHECK(contains(error, "\"" + key + "\""));
    }
  };
  check(encode(wire::Hello{1, 1, "a", "k", "x", 1, 1, "n"}), error_of<wire::Hello>);
  check(encode(full_setup()), error_of<wire::Setup>);
  check(encode(wire::Ready{1, {{"a", 1}}}), error_of<wire::Ready>);
  check(encode(wire::Failure{"s", 2, "p", "m"}), error_of<wire::Failure>);
  check(encode(full_exec()), error_of<wire::Exec>);
  check(encode(wire::Started{1, 2}), error_of<wire::Started>);
  check(encode(full_exit()), error_of<wire::Exit>);
  check(encode(wire::Signal{1, wire::SignalScope::kTree}), error_of<wire::Signal>);
  check(encode(wire::WindowSize{1, 2}), error_of<wire::WindowSize>);
  check(encode(wire::Shutdown{1}), error_of<wire::Shutdown>);
  check(encode(wire::Quiesce{1}), error_of<wire::Quiesce>);
  check(encode(wire::Quiesced{1}), error_of<wire::Quiesced>);
  check(encode(full_wake()), error_of<wire::Wake>);
}

TEST_CASE("a number that does not fit its field is an error") {
  CHECK(contains(error_of<wire::Started>(cbor({{"pid", uint64_t{1} << 32}})), "range"));
  CHECK(contains(error_of<wire::Started>(cbor({{"pid", -1}})), "range"));
  CHECK(contains(error_of<wire::Started>(cbor({{"pid", 1.0}})), "integer"));
  CHECK(contains(error_of<wire::WindowSize>(cbor({{"rows", 65536}})), "range"));
  CHECK(contains(error_of<wire::Exit>(cbor({{"status", int64_t{1} << 31}})), "range"));
  CHECK(contains(error_of<wire::Exit>(cbor({{"status", -(int64_t{1} << 31) - 1}})), "range"));
  CHECK(error_of<wire::Exit>(cbor({{"status", -(int64_t{1} << 31)}})).empty());
  CHECK(contains(error_of<wire::Signal>(cbor({{"scope", 3}})), "scope"));
  CHECK(contains(error_of<wire::Signal>(cbor({{"scope", 256}})), "scope"));
  CHECK(contains(error_of<wire::Setup>(cbor({{"root", {{"kind", 4}}}})), "kind"));
}

TEST_CASE("an EXEC without a command, or with a line of several, is an error") {
  CHECK(contains(error_of<wire::Exec>(cbor(json::object())), "argv"));
  CHECK(contains(error_of<wire::Exec>(cbor({{"argv", json::array()}})), "argv"));
  CHECK(contains(error_of<wire::Exec>(cbor({{"argv", {"a", "b"}}, {"shell", true}})), "argv"));
  CHECK(contains(error_of<wire::Exec>(cbor({{"argv", {"a"}}, {"env", {{"k"}}}})), "env"));
  CHECK(contains(error_of<wire::Exec>(cbor({{"argv", {"a"}}, {"env", {{"k", 1}}}})), "env"));
}

TEST_CASE("a message that is no map is an error") {
  for (const json& value :
       {json(1), json("text"), json::array({1}), json(nullptr), json(true), json(1.5)})
    CHECK_FALSE(error_of<wire::Shutdown>(cbor(value)).empty());
  CHECK_FALSE(error_of<wire::Shutdown>("").empty());
  CHECK_FALSE(error_of<wire::Shutdown>(std::string("\xa1\x01\x02", 3)).empty());  // key 1
}

TEST_CASE("of two equal keys the first counts") {
  const auto decoded = wire::decode<wire::Shutdown>(view("\xa2\x68grace_ms\x01\x68grace_ms\x02"));
  REQUIRE(decoded.value);
  CHECK(decoded.value->grace_ms == 1);
}

TEST_CASE("every truncation of a message is an error") {
  const std::string whole = encode(full_exec());
  for (size_t length = 0; length < whole.size(); ++length)
    if (error_of<wire::Exec>(whole.substr(0, length)).empty())
      FAIL("cut to " << length << " bytes it was still accepted");
  CHECK(contains(error_of<wire::Exec>(whole + "x"), "follow"));
}

TEST_CASE("nesting is accepted up to eight levels and refused beyond") {
  const auto nested = [](int levels) {
    json value = 1;
    for (int i = 1; i < levels; ++i) value = json::array({value});
    return cbor({{"future", value}});
  };
  CHECK(error_of<wire::Shutdown>(nested(8)).empty());
  CHECK(contains(error_of<wire::Shutdown>(nested(9)), "deep"));
  CHECK(contains(wire::check_cbor(view(std::string(1 << 20, '\x81'))), "deep"));
}

TEST_CASE("a message holds at most 65,536 items") {
  const auto list = [](size_t count) {
    return cbor({{"future", json(std::vector<int>(count, 1))}});
  };
  CHECK(error_of<wire::Shutdown>(list(65533)).empty());  // and the map, its key and the list
  CHECK(contains(error_of<wire::Shutdown>(list(65534)), "items"));
}

TEST_CASE("lengths that the message does not hold are refused before anything is built") {
  const auto refused = [](const char* start, const char* why) {
    const std::string error = wire::check_cbor(view(start));
    INFO(error);
    return contains(error, why);
  };
  CHECK(refused("\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "string"));  // 2^64-1 bytes
  CHECK(refused("\x7a\xff\xff\xff\xff", "string"));                  // 4 GiB of text
  CHECK(refused("\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "list"));    // 2^64-1 items
  CHECK(refused("\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "list"));    // 2^64-1 pairs
  CHECK(refused("\xbb\x7f\xff\xff\xff\xff\xff\xff\xff x", "list"));  // doubling wraps around
  CHECK(refused("\x83\x01\x02", "list"));        // two bytes cannot be three items
  CHECK(refused("\x82\x01\x19", "malformed"));   // the second number has no bytes
  CHECK(refused("\x9f\x01\xff", "malformed"));   // indefinite length
  CHECK(refused("\x5f\x41x\xff", "malformed"));  // chunked string
  CHECK(refused("\xc1\x01", "tag"));
  CHECK(refused("\x1c", "malformed"));  // reserved
}

TEST_CASE("calls and their answers come out as they went in") {
  const wire::Call call{"write", "/" + kBytes, kBytes, 5, 0644, 1, 2, 3, 4, -5};
  const wire::Call back = through(call);
  CHECK(back.path == call.path);
  CHECK(back.flags == 5);
  CHECK(back.mtime_ns == -5);
  // What is left out has its default.
  const wire::Call empty = through(wire::Call{});
  CHECK(empty.length == UINT64_MAX);
  CHECK(empty.uid == -1);

  wire::CallResult result;
  result.bytes = 7;
  result.info = wire::FileInfo{kBytes, 0100644, 1, 2, 3, 4, 5, 6, 7, -8, kBytes};
  result.stats = wire::GuestStats{1, 2, 3, {4, 5, 6}, 7, 8, 9};
  const wire::CallResult answer = through(result);
  REQUIRE(answer.info);
  CHECK(answer.info->name == kBytes);
  CHECK(answer.info->mtime_ns == -8);
  REQUIRE(answer.stats);
  CHECK(answer.stats->load_milli[2] == 6);
  CHECK(answer.stats->root_available_bytes == 9);
}

TEST_CASE("messages with flipped bits never crash the decoder") {
  std::mt19937 random(7);
  const std::string whole[] = {encode(full_exec()), encode(full_setup()), encode(full_exit()),
                               encode(wire::Ready{1, {{"a", 1}, {"b", 2}}})};
  size_t accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole[round % 4];
    for (size_t flips = 1 + random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    const std::string error = round % 4 == 0   ? error_of<wire::Exec>(bytes)
                              : round % 4 == 1 ? error_of<wire::Setup>(bytes)
                              : round % 4 == 2 ? error_of<wire::Exit>(bytes)
                                               : error_of<wire::Ready>(bytes);
    accepted += error.empty() ? 1 : 0;
  }
  CHECK(accepted > 0);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    error_of<wire::Exec>(bytes);
  }
}
