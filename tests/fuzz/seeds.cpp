// Writes the first inputs of every fuzz target: real frames and messages, and scripts of what
// sessions usually do. The step numbers are those of the targets' own enums.
//   seeds FOLDER
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "wire/calls.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace wire = vmette::wire;
using wire::Type;

namespace {

std::filesystem::path folder;

void put(const std::string& target, const std::string& name, std::string_view bytes) {
  const auto directory = folder / target;
  std::filesystem::create_directories(directory);
  std::ofstream(directory / name, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// One byte each.
std::string b(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

std::string sized(std::string_view bytes) {
  const auto size = static_cast<int>(bytes.size());
  return b({size & 255, size >> 8}) + std::string(bytes);
}

std::string frame(Type type, uint64_t stream, std::string_view payload, uint16_t flags = 0) {
  std::string out;
  wire::append_frame(out, type, flags, stream, payload);
  return out;
}

wire::Exec full_exec() {
  wire::Exec exec;
  exec.argv = {"/bin/\xff", "a b", ""};
  exec.env = {{"KEY", "value"}, {"PATH", "/bin"}};
  exec.cwd = "/tmp";
  exec.user = "user:group";
  exec.in = wire::Stdio::kStream;
  exec.tty = wire::WindowSize{50, 132};
  exec.term = "vt100";
  return exec;
}

wire::Setup full_setup() {
  wire::Setup setup;
  setup.generation = 1;
  setup.hostname = "vmette";
  setup.realtime_ns = 1'700'000'000'000'000'000;
  setup.entropy = std::string(64, '\x5a');
  setup.root = {wire::RootKind::kBlock, "serial", "squashfs", wire::UpperKind::kDisk, "upper"};
  setup.shares = {{"tag", true, "/mnt/tag", true}};
  setup.env = {{"A", "1"}};
  setup.switch_root = true;
  setup.ca_certs = "-----BEGIN CERTIFICATE-----\n";
  return setup;
}

wire::Wake full_wake() {
  wire::Wake wake;
  wake.restored = true;
  wake.nonce = "nonce";
  wake.realtime_ns = 1'700'000'000'000'000'000;
  wake.entropy = std::string(64, '\x5a');
  wake.hostname = "clone";
  wake.machine_id = std::string(32, 'a');
  wake.env = {{"A", "1"}};
  wake.shares = full_setup().shares;
  wake.hold = true;
  return wake;
}

void messages() {
  const wire::Ready ready{5, {{"identity", 1}, {"root", 2}}};
  const wire::Exit exit{true, 9, true, 1, 2, 3, 4, 5, 6};
  const std::string whole = b({0});
  put("messages", "hello", whole + encode(wire::Hello{1, 1, "0.1.0", "6.1.0", "x86_64", 1, 2, ""}));
  put("messages", "setup", whole + encode(full_setup()));
  put("messages", "ready", whole + encode(ready));
  put("messages", "failure", whole + encode(wire::Failure{"exec", 2, "/x", "no such program"}));
  put("messages", "exec", whole + encode(full_exec()));
  put("messages", "started", whole + encode(wire::Started{7, 8}));
  put("messages", "exit", whole + encode(exit));
  put("messages", "signal", whole + encode(wire::Signal{15, wire::SignalScope::kTree}));
  put("messages", "window_size", whole + encode(wire::WindowSize{1, 2}));
  put("messages", "shutdown", whole + encode(wire::Shutdown{500}));
  put("messages", "quiesce", whole + encode(wire::Quiesce{500}));
  put("messages", "quiesced", whole + encode(wire::Quiesced{3}));
  put("messages", "wake", whole + encode(full_wake()));
  wire::Call call{"write", "/\xff", "/to", 127, 0644, 5, 6, 7, 8, -9};
  put("messages", "call", whole + encode(call));
  wire::FileInfo info{"\xff", 0120777, 1, 2, 3, 4, 5, 6, 7, -8, "target"};
  put("messages", "file_info", whole + encode(info));
  put("messages", "call_result",
      whole + encode(wire::CallResult{9, info, wire::GuestStats{1, 2, 3, {4, 5, 6}, 7, 8, 9}}));
  put("messages", "too_deep", whole + std::string(20, '\x81'));
  put("messages", "huge_list", whole + "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff");
  put("messages", "indefinite", whole + "\xbf\x61\x61\x01\xff");
  const std::string guest =
      frame(Type::kHello, 0, encode(wire::Hello{1, 1, "", "", "", 1, 2, ""})) +
      frame(Type::kReady, 0, encode(ready)) +
      frame(Type::kStarted, 1, encode(wire::Started{7, 8})) +
      frame(Type::kData, 1, "out", wire::channel_flags(wire::Channel::kStdout, true)) +
      frame(Type::kExit, 1, encode(exit));
  const std::string host =
      frame(Type::kSetup, 0, encode(full_setup())) + frame(Type::kExec, 1, encode(full_exec())) +
      frame(Type::kData, 1, "in", wire::channel_flags(wire::Channel::kStdin)) +
      frame(Type::kCredit, 1, wire::encode_credit(65536), 1) +
      frame(Type::kSignal, 1, encode(wire::Signal{9, {}})) + frame(Type::kClose, 1, "", 2) +
      frame(Type::kShutdown, 0, encode(wire::Shutdown{}));
  put("messages", "frames_of_the_guest", b({0xa1}) + guest);
  put("messages", "frames_of_the_host", b({0xa1}) + host);
  put("messages", "byte_by_byte", b({0x01}) + guest);
}

void helper_lines() {
  const std::string channel = R"({"event":"channel"})"
                              "\n";
  put("helper_lines", "lines",
      b({0, 0}) + sized("one\ntwo\r\n\nthr") + b({3}) + sized("ee\n") + b({1}) + sized("x"));
  put("helper_lines", "descriptors", b({0, 20}) + sized("a\n") + b({1}) + sized("b\n"));
  put("helper_lines", "answers",
      b({1, 0, 0, 1}) + sized("{\"id\":1,\"ok\":{}}\n{\"id\":2,\"error\":{\"code\":\"not_found\","
                              "\"message\":\"no\",\"stage\":\"create\"}}\n"));
  put("helper_lines", "channel", b({1, 0x21}) + sized(channel));
  put("helper_lines", "channel_without_descriptor", b({1, 1}) + sized(channel));
  put("helper_lines", "console",
      b({1, 1}) + sized("{\"event\":\"console\",\"data\":\"aGVsbG8K\"}\n"));
  put("helper_lines", "stopped",
      b({1, 1}) + sized("{\"event\":\"stopped\",\"reason\":\"poweroff\",\"message\":\"x\"}\n"));
  put("helper_lines", "failed",
      b({1, 1}) + sized("{\"event\":\"failed\",\"stage\":\"create\",\"message\":\"a\\nb\"}\n"));
  put("helper_lines", "no_object", b({1, 1}) + sized("[]\n"));
  put("helper_lines", "unknown_answer", b({1, 1}) + sized("{\"id\":9,\"ok\":{}}\n"));
  put("helper_lines", "machine",
      b({2}) +
          R"({"version":"0.1.0","parent_pid":1,"arch":"x86_64","kernel":"/k","initramfs":"/i","cmdline":"quiet","vcpus":2,"memory_mib":512,"accel":"tcg","qemu":"/q","disks":[{"path":"/d","serial":"d0","read_only":true}],"shares":[{"tag":"t","path":"/p","read_only":false,"transport":"9p","stable":true}]})");
  put("helper_lines", "restored_machine",
      "\x02{\"version\":\"0.1.0\",\"parent_pid\":1,\"arch\":\"x86_64\",\"kernel\":\"/k\","
      "\"snapshottable\":true,\"restore\":\"/s\",\"disks\":[{\"path\":\"/s/disk0\",\"serial\":"
      "\"d0\",\"copy_in\":\"/var/tmp\"}],\"scratch\":{\"directory\":\"/var/tmp\",\"serial\":\"s\","
      "\"mib\":16,\"image\":\"/s/scratch\"},\"shares\":[{\"tag\":\"t\",\"path\":\"\"}]}");
}

// Steps of host_session.cpp.
enum Host {
  kRaw,
  kFrame,
  kStarted,
  kExit,
  kData,
  kCredit,
  kExec,
  kWriteStdin,
  kReadOutput,
  kCloseEnd,
  kDrop,
  kSignal,
  kResize,
  kPause,
  kHearing,
  kHangUp,
  kStop,
  kResult,
  kRefuse,
  kEntry,
  kCall,
  kMove,
  kCloseCall,
  kCancel,
  kDropCall
};

// Kinds of a call, by number in host_session.cpp.
enum CallKind { cStat, cStats = 7, cRead = 9, cList, cWrite, cOpenRead, cOpenWrite };

void host_session() {
  const auto put_script = [](const char* name, const std::string& script) {
    put("host_session", name, script);
  };
  const std::string run = b({2, kExec, 0x29, kStarted, 1});  // pipes for all three
  const std::string both_end = b({kData, 1, 1, 1, 0, 0, kData, 1, 2, 1, 0, 0});
  put_script("hello", b({0, kRaw}) + sized(frame(Type::kHello, 0,
                                                 encode(wire::Hello{1, 1, "", "", "", 1, 2, ""}))));
  put_script("ready",
             b({1, kRaw}) + sized(frame(Type::kReady, 0, encode(wire::Ready{5, {{"root", 2}}}))));
  put_script(
      "setup_fails",
      b({1, kRaw}) + sized(frame(Type::kError, 0, encode(wire::Failure{"mount", 5, "/", "no"}))));
  put_script("refused",
             b({2, kExec, 0x29, kRaw}) +
                 sized(frame(Type::kError, 1, encode(wire::Failure{"exec", 2, "/x", "no"}))));
  put_script("main_command",
             b({6, kStarted, 1, kData, 1, 1, 0, 9, 0}) + both_end + b({kExit, 1, 3, 9, 0, 0, 0}));
  put_script("pipes",
             run + b({kWriteStdin, 0, 100, 0, kData, 1, 1, 0, 0, 16, kReadOutput, 0, 0, 0, 8}) +
                 both_end + b({kExit, 1, 0, 0, 16, 0, 0}));
  put_script("captured", b({2, kExec, 0x14, kStarted, 1,   kData, 1, 1, 0, 255, 255, kData,
                            1, 2,     0,    255,      255, kData, 1, 1, 0, 255, 255}) +
                             both_end + b({kExit, 1, 209, 1, 0, 1, 0}));
  put_script("stdin_bytes", b({2,       kExec, 2, 0, 128, kStarted, 1, kCredit, 1, 0, 0, 0, 2, 0,
                               kCredit, 1,     0, 0, 0,   4,        0, kExit,   1, 0, 0, 0, 0, 0}));
  put_script("terminal", b({2, kExec, 0x49, kStarted, 1,     kResize, 0, 40, 0, kData, 1,
                            1, 1,     5,    0,        kExit, 1,       1, 5,  0, 0,     0}));
  put_script("closed_ends",
             run + b({kCloseEnd, 0, 0, kCloseEnd, 0, 1, kCloseEnd, 0, 2, kData, 1, 1, 0, 9, 0}) +
                 both_end + b({kExit, 1, 0, 9, 0, 0, 0}));
  put_script("dropped",
             run + b({kDrop, 0, kData, 1, 1, 0, 9, 0}) + both_end + b({kExit, 1, 0, 9, 0, 0, 0}));
  put_script("two_commands", run + b({kExec, 0x29,   kStarted, 2, kSignal, 1, 15,  kPause, 0,
                                      1,     kPause, 0,        0, kExit,   2, 215, 0,      0,
                                      0,     0,      kExit,    1, 0,       0, 0,   0,      0}));
  put_script("overrun",
             run + b({kData, 1, 1, 0, 255, 255, kData, 1, 1, 0, 255, 255, kData, 1, 1, 0, 255, 255,
                      kData, 1, 1, 0, 255, 255, kData, 1, 1, 0, 255, 255}));
  put_script("credit_unused", run + b({kCredit, 1, 0, 1, 0, 0, 0}));
  put_script("exit_twice", run + b({kExit, 1, 0, 0, 0, 0, 0, kExit, 1, 0, 0, 0, 0, 0}));
  put_script("hello_again", run + b({kFrame, 0, 1, 0, 0, 0, 0}));
  put_script("unknown_stream", run + b({kStarted, 7}));
  put_script("deaf", run + b({kHearing, 0, kWriteStdin, 0, 255, 255, kHearing, 1, kStop, 0, kFrame,
                              0, 6, 0, 0, 0, 0}));
  put_script("hang_up", run + b({kHangUp, 0}));
  const std::string eof = b({kData, 1, 1, 1, 0, 0});
  put_script("call_stat", b({2, kCall, cStat, 0, 0, kResult, 1, 1, 0, 0, 0, 0, 7, 1}));
  put_script("call_stats", b({2, kCall, cStats, 0, 0, kResult, 1, 2, 0, 0, 0, 0, 9, 0}));
  put_script("call_refused", b({2, kCall, cOpenWrite, 0, 0, kMove, 0, 9, 0, kRefuse, 1, 28}));
  put_script("call_read", b({2, kCall, cRead, 0, 16, kData, 1, 1, 0, 9, 0}) + eof +
                              b({kResult, 1, 0, 9, 0, 0, 0}));
  put_script("call_read_too_large",
             b({2, kCall, cRead, 1, 0, kData, 1, 1, 0, 99, 0, kRefuse, 1, 125}));
  put_script("call_list", b({2, kCall, cList, 0, 0, kEntry, 1, 8}) + sized("name") +
                              b({kEntry, 1, 1}) + sized("last") + b({kResult, 1, 0, 0, 0, 0, 0}));
  put_script("call_list_leads_away", b({2, kCall, cList, 0, 0, kEntry, 1, 0}) + sized("../up"));
  put_script("call_write", b({2, kCall, cWrite, 0, 64, kCredit, 1,       0, 0, 0, 2, 0,  kCredit,
                              1, 0,     0,      0, 2,  0,       kResult, 1, 0, 0, 0, 16, 0}));
  put_script("call_result_early", b({2, kCall, cWrite, 0, 64, kResult, 1, 0, 0, 0, 4, 0}));
  put_script("call_open_read",
             b({2,   kCall, cOpenRead, 0, 0, kData, 1,   1,   0,     255, 255, kMove, 0,
                255, 255,   kData,     1, 1, 0,     255, 255, kMove, 0,   255, 255}) +
                 eof + b({kResult, 1, 0, 254, 255, 1, 0}));
  put_script("call_open_read_closed",
             b({2, kCall, cOpenRead, 0, 0, kCloseCall, 0, kData, 1, 1, 0, 9, 0, kRefuse, 1, 125}));
  put_script("call_open_write", b({2, kCall, cOpenWrite, 0, 0,       kMove, 0, 8,  0, kMove, 0,
                                   8, 0,     kCloseCall, 0, kResult, 1,     0, 18, 0, 0,     0}));
  put_script("call_open_write_cancelled",
             b({2, kCall,      cOpenWrite, 0,       0, kMove, 0,     8,     0, kCancel,
                0, kCloseCall, 0,          kRefuse, 1, 125,   kCall, cStat, 0, 0}));
  put_script("call_dropped",
             b({2,         kCall, cOpenRead, 0, 0, kData, 1,   1,   0,       255, 255,
                kDropCall, 0,     kData,     1, 1, 0,     255, 255, kRefuse, 1,   125}));
  put_script("call_deaf", b({2,   kHearing, 0,     kCall, cOpenWrite, 0,   0,        kCall, cWrite,
                             255, 255,      kMove, 0,     255,        255, kHearing, 1,     kStop,
                             0,   kFrame,   0,     6,     0,          0,   0,        0}));
  put_script("call_violated", b({2, kCall, cStat, 0, 0, kData, 1, 1, 0, 9, 0}));
  put_script("orderly_stop", run + b({kStop, 50, kFrame, 0, 6, 0, 0, 0, 0}));
}

// Steps of agent.cpp.
enum Agent {
  aRaw,
  aFrame,
  aExec,
  aData,
  aCredit,
  aClose,
  aSignal,
  aResize,
  aShutdown,
  aPrint,
  aRead,
  aCloseEnd,
  aExit,
  aFailNext,
  aHearing,
  aCall,
  aQuiesce,
  aWake,
  aThaw
};

// Operations of a call, by number in agent.cpp. A path is an octal number, read from its end: 1 is
// b, 2 is .. and 3 is etc/passwd, a 0 with something in front of it is a.
enum AgentCall {
  oStat,
  oList,
  oRead,
  oWrite,
  oMkdir,
  oRemove,
  oRename,
  oSymlink,
  oChmod,
  oChown,
  oSetMtime,
  oStats,
  oPack,
  oUnpack
};

std::string tree_entry(const std::string& name, uint32_t mode, const std::string& target = "") {
  wire::FileInfo info;
  info.name = name;
  info.mode = mode;
  info.target = target;
  const std::string bytes = encode(info);
  return wire::encode_credit(static_cast<uint32_t>(bytes.size())) + bytes;
}

// A directory with a file, a link and a directory in it.
std::string small_tree() {
  const std::string up = tree_entry("", 0);
  const auto piece = [](int offset, int length) {
    return b({offset, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0});
  };
  return tree_entry("", 040755) + tree_entry("f", 0100644) + piece(5, 3) + "abc" + piece(9, 0) +
         tree_entry("l", 0120777, "/etc/passwd") + tree_entry("d", 040700) + up + up;
}

void agent() {
  const auto put_script = [](const char* name, const std::string& script) {
    put("agent", name, script);
  };
  const std::string run = b({1, aExec, 7}) + sized("argument");
  put_script("setup", b({0, aRaw}) + sized(frame(Type::kSetup, 0, encode(full_setup()))));
  put_script("wrong_setup", b({0, aFrame, 0, 2, 0, 0}) + sized("\xa0"));
  put_script("pipes", run + b({aData,  1, 0, 100, 0, aRead, 0, 100, 0, aPrint, 0,     0, 0, 64,
                               aPrint, 0, 1, 9,   0, aData, 1, 1,   0, 0,      aExit, 0, 7}));
  put_script("all_of_it", b({1, aRaw}) + sized(frame(Type::kExec, 1, encode(full_exec()))));
  put_script(
      "terminal",
      b({1, aExec, 9}) + sized("") +
          b({aData, 1, 0,         3, 0, aResize,   1, 9, 0,         aRead, 0, 3,     0, aData, 1, 1,
             1,     0, aCloseEnd, 0, 0, aCloseEnd, 0, 1, aCloseEnd, 0,     2, aExit, 0, 1}));
  put_script("users", b({1, aExec, 0x17}) + sized("") + b({aExec, 0x27}) + sized("") +
                          b({aExec, 0x37}) + sized(""));
  put_script("cannot_start", b({1, aFailNext, 2, aExec, 7}) + sized(""));
  put_script("argument_with_nul", b({1, aExec, 7}) + sized(std::string_view("a\0b", 3)));
  put_script("credit",
             run + b({aPrint, 0,       0,   255,    255, aPrint, 0,   0,   255,    255, aPrint, 0,
                      0,      255,     255, aPrint, 0,   0,      255, 255, aPrint, 0,   0,      255,
                      255,    aCredit, 1,   1,      0,   0,      1,   0,   aExit,  0,   1}));
  put_script("credit_too_much", run + b({aCredit, 1, 1, 1, 0, 0, 0}));
  put_script("stdin_unread",
             run + b({aData, 1,     0, 255, 255, aData,     1, 0, 255,   255, aData, 1,   0,  255,
                      255,   aRead, 0, 255, 255, aCloseEnd, 0, 0, aData, 1,   0,     255, 255}));
  put_script("closed_output",
             run + b({aClose, 1, 1, aClose, 1, 2, aPrint, 0, 0, 9, 0, aExit, 0, 18}));
  put_script("signals",
             run + b({aSignal, 1,     0, 15, aSignal, 1, 1, 9, aSignal, 1, 2, 9, aSignal, 9, 2,
                      9,       aExit, 0, 1,  aSignal, 1, 1, 9, aSignal, 1, 2, 9}));
  put_script("deaf_host",
             run + b({aHearing, 0, aPrint, 0,   0,   255,   255, aPrint, 0, 0, 255,      255,
                      aPrint,   0, 0,      255, 255, aData, 1,   1,      9, 0, aHearing, 1}));
  put_script("shutdown", run + b({aPrint, 0, 0, 9, 0, aShutdown, 1, 9, 0, aExit, 0, 1}));
  put_script("out_of_order", run + b({aRaw}) + sized(frame(Type::kExec, 1, encode(full_exec()))));
  put_script("call_without_setup", b({0, aCall, oStat, 0, 1, 0}));
  const std::string made = b({1, aCall, oWrite, 2, 1, 0, aData, 1, 1, 200, 0});
  put_script("call_write", made + b({aCall, oStat, 0, 1, 0}));
  put_script("call_write_atomic", b({1, aCall, oWrite, 32 + 2, 011, 0, aData, 1, 0, 9, 0, aClose, 1,
                                     0, aCall, oList, 0, 1, 0}));
  put_script("call_read", made + b({aCall, oRead, 0, 1, 0, aCall, oRead, 9, 1, 0}));
  put_script("call_list", b({1, aCall, oList, 0, 0, 0}));
  put_script("call_tree",
             b({1, aCall, oMkdir,  2, 0111, 0, aCall, oSymlink, 0, 022, 1, aCall, oRename,   0, 011,
                2, aCall, oChmod,  0, 1,    0, aCall, oChown,   1, 1,   0, aCall, oSetMtime, 1, 1,
                0, aCall, oRemove, 4, 1,    0, aCall, oStats,   0, 0,   0}));
  put_script("call_pack", made + b({aCall, oPack, 0, 0, 0}));
  put_script("call_unpack", b({1, aCall, oUnpack, 2, 1, 0, aRaw}) +
                                sized(frame(Type::kData, 1, small_tree(),
                                            wire::channel_flags(wire::Channel::kStdin, true))) +
                                b({aCall, oPack, 0, 1, 0}));
  put_script("call_read_endless",
             made + b({aHearing, 0, aCall, oRead, 0, 1, 0, aClose, 2, 1, aHearing, 1}));
  put_script("quiesce",
             run + b({aPrint, 0, 0, 9, 0, aQuiesce, aPrint, 0, 0, 9, 0, aWake, 0, aExit, 0, 1}));
  put_script("quiesce_restored",
             run + b({aPrint, 0,     0, 9,     0, aQuiesce, aPrint, 0, 0,     9, 0,      aWake,
                      1,      aExec, 7, 0,     0, aPrint,   0,      0, 9,     0, aPrint, 1,
                      0,      9,     0, aData, 1, 0,        3,      0, aExit, 0, 1}));
  put_script("quiesce_hold", run + b({aQuiesce, aWake, 3, aExec, 7, 0, 0, aThaw, aThaw}));
  put_script("quiesce_wake_fails", run + b({aQuiesce, aWake, 4, aShutdown, 1, 0}));
  put_script("quiesce_deaf",
             run + b({aHearing, 0,      aPrint, 0, 0,   255, 255,      aPrint,   0, 0,       255,
                      255,      aPrint, 0,      0, 255, 255, aQuiesce, aHearing, 1, aQuiesce}));
  put_script("quiesce_open_call", b({1, aCall, oWrite, 32 + 2, 1, 0, aData, 1, 0, 9, 0, aQuiesce,
                                     aWake, 1, aCall, oList, 0, 0, 0}));
  put_script("quiesce_shutdown", run + b({aQuiesce, aShutdown, 1, 0}));
  put_script("wake_unasked", run + b({aWake, 1}));
  put_script("unknown_type", run + b({aFrame, 0, 0x30, 0, 0, 0, 0}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: seeds FOLDER\n", stderr);
    return 2;
  }
  folder = argv[1];
  messages();
  helper_lines();
  host_session();
  agent();
  return 0;
}
