// The messages of the guest protocol (docs/guest-protocol.md): CBOR maps with text keys, decoded
// into plain structs. Strings that come from or name things in a file system, argv and the
// environment are byte strings: they need not be UTF-8 and are kept byte-true. Unknown keys are
// ignored, missing optional keys keep the default shown here; a wrong type is an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wire/cbor.h"

namespace vmette::wire {

using EnvList = std::vector<std::pair<std::string, std::string>>;

struct Hello {
  uint32_t generation = 0;         // newest that the agent speaks
  uint32_t oldest_generation = 0;  // oldest that it still speaks
  std::string agent_version;
  std::string kernel_release;
  std::string arch;
  uint64_t start_us = 0;  // guest uptime when the agent's main() began
  uint64_t now_us = 0;    // guest uptime when this message was written
  std::string nonce;      // of the WAKE that this answers; empty at boot
};

enum class RootKind : uint8_t {
  kInitramfs = 0,  // no root file system: the built-in busybox
  kShare9p = 1,    // `source` is a 9p tag
  kVirtiofs = 2,   // `source` is a virtio-fs tag
  kBlock = 3,      // `source` is the serial of a virtio-blk device
};

enum class UpperKind : uint8_t {
  kNone = 0,   // the root stays read-only
  kTmpfs = 1,  // writes go to memory
  kDisk = 2,   // writes go to the ext4 disk whose serial is `upper_source`
};

struct Root {
  RootKind kind = RootKind::kInitramfs;
  std::string source;
  std::string fstype;  // block only: squashfs, erofs or ext4
  UpperKind upper = UpperKind::kTmpfs;
  std::string upper_source;
};

struct ShareSetup {
  std::string tag;
  bool virtiofs = false;  // else 9p
  std::string target;     // absolute path in the new root
  bool read_only = false;
};

// A disk of the caller's, in the order of the list: the agent names it and mounts nothing.
struct DiskSetup {
  std::string serial;
  std::string fstype;  // what the host has seen on it, empty: nothing that it knows
};

struct Setup {
  uint32_t generation = 0;  // the one both sides speak from here on
  std::string hostname;
  uint64_t realtime_ns = 0;
  std::string entropy;  // credited to the kernel's pool
  Root root;
  std::vector<ShareSetup> shares;
  std::vector<DiskSetup> disks;
  EnvList env;  // the base environment of every command
  bool switch_root = false;
  std::string ca_certs;  // PEM, added to the trust stores that the root has
};

struct Step {
  std::string name;
  uint64_t at_us = 0;  // guest uptime
};

struct Ready {
  uint64_t now_us = 0;
  std::vector<Step> steps;
};

// Something could not be done. On stream 0 the machine is unusable; on another stream that stream
// has ended and nothing more comes on it.
struct Failure {
  std::string stage;  // "root", "mount", "exec", "cwd", "user", ...
  int32_t error = 0;  // a Linux errno, or 0
  std::string path;   // what it was about, may be empty
  std::string message;
};

struct WindowSize {
  uint16_t rows = 24;
  uint16_t cols = 80;
};

// Where a command's stdin comes from or its output goes to.
enum class Stdio : uint8_t {
  kNull = 0,    // /dev/null
  kStream = 1,  // DATA frames
};

struct Exec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of the command's environment
  bool shell = false;             // argv has one element: a line for /bin/sh -c
  EnvList env;                    // added to the base environment, later entries win
  bool clear_env = false;         // start from an empty environment instead
  std::string cwd;                // empty: "/"
  std::string user;               // empty: root; else name, uid, name:group or uid:gid
  Stdio in = Stdio::kNull;
  Stdio out = Stdio::kStream;
  Stdio err = Stdio::kStream;
  std::optional<WindowSize> tty;  // a terminal: one stream each way, stderr merged into stdout
  bool echo = true;               // of the terminal, as it begins
  bool raw = false;               // likewise
  std::string term;               // TERM with a tty, empty: "xterm-256color"
};

struct Started {
  uint32_t pid = 0;
  uint64_t now_us = 0;
};

// The command's leading process has ended. Its output may still be under way: `out_bytes` and
// `err_bytes` say how many bytes each stream will have carried once everything that it had written
// by then has arrived.
struct Exit {
  bool signalled = false;
  int32_t status = 0;  // exit code, or the signal's number
  bool oom = false;    // killed by the guest's kernel because memory ran out
  uint64_t out_bytes = 0;
  uint64_t err_bytes = 0;
  uint64_t wall_us = 0;
  uint64_t user_us = 0;
  uint64_t system_us = 0;
  uint64_t max_rss_kib = 0;
};

enum class SignalScope : uint8_t {
  kProcess = 0,
  kGroup = 1,  // its process group (with a tty: the foreground group)
  kTree = 2,   // every descendant, whatever group or session it moved to
};

struct Signal {
  int32_t number = 0;
  SignalScope scope = SignalScope::kGroup;
};

struct Shutdown {
  uint32_t grace_ms = 0;  // between SIGTERM and SIGKILL for what still runs; 0: kill at once
};

// Freezes every process but the agent, unmounts the shares and has everything sent that is on its
// way. Answered by Quiesced, or by Failure on stream 0 with stage "quiesce": then all is as before.
struct Quiesce {
  uint32_t timeout_ms = 0;  // until Quiesced
};

struct Quiesced {
  uint64_t frozen = 0;  // processes
};

// The first frame after Quiesced, on the same connection or on one to a copy of the machine.
// Answered by Hello with the same nonce, or by Failure on stream 0 with stage "wake".
struct Wake {
  bool restored = false;  // the old connection and its streams are over
  std::string nonce;
  uint64_t realtime_ns = 0;
  std::string entropy;             // credited to the kernel's pool, which is reseeded
  std::string hostname;            // restored only
  std::string machine_id;          // restored only: 32 lower-case hex digits, empty: stays
  EnvList env;                     // restored only: the new base environment of every command
  std::vector<ShareSetup> shares;  // what is mounted from now on
  bool hold = false;               // what is frozen stays so until THAW
};

// A decoded message, or one line saying what is wrong with it.
template <class T>
struct Decoded {
  std::optional<T> value;
  std::string error;
};

std::string encode(const Hello&);
std::string encode(const Setup&);
std::string encode(const Ready&);
std::string encode(const Failure&);
std::string encode(const Exec&);
std::string encode(const Started&);
std::string encode(const Exit&);
std::string encode(const Signal&);
std::string encode(const WindowSize&);
std::string encode(const Shutdown&);
std::string encode(const Quiesce&);
std::string encode(const Quiesced&);
std::string encode(const Wake&);

template <class T>
Decoded<T> decode(Bytes payload);

}  // namespace vmette::wire
