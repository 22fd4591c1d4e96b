// Messages of calls (docs/guest-protocol.md, Calls): what the host asks the agent itself to do,
// with files above all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wire/messages.h"

namespace vmette::wire {

// Names of operations, the "op" of a CALL.
namespace op {
inline constexpr const char* kStat = "stat";
inline constexpr const char* kList = "list";
inline constexpr const char* kRead = "read";
inline constexpr const char* kWrite = "write";
inline constexpr const char* kMkdir = "mkdir";
inline constexpr const char* kRemove = "remove";
inline constexpr const char* kRename = "rename";
inline constexpr const char* kSymlink = "symlink";
inline constexpr const char* kChmod = "chmod";
inline constexpr const char* kChown = "chown";
inline constexpr const char* kSetMtime = "set_mtime";
inline constexpr const char* kPack = "pack";
inline constexpr const char* kUnpack = "unpack";
inline constexpr const char* kStats = "stats";
}  // namespace op

// Bits of Call::flags. An operation ignores those that are not its own.
// stat, chown, set_mtime: a link's target instead of the link.
inline constexpr uint32_t kCallFollow = 1;
// mkdir, write: make what is missing above; mkdir: let be what is there.
inline constexpr uint32_t kCallParents = 2;
// remove: a directory with all that is in it.
inline constexpr uint32_t kCallRecursive = 4;
// write: behind what the file holds.
inline constexpr uint32_t kCallAppend = 8;
// write, rename: fail with EEXIST when there is something.
inline constexpr uint32_t kCallExclusive = 16;
// write: under a temporary name that takes the file's place at the end.
inline constexpr uint32_t kCallAtomic = 32;
// pack, unpack: uids and gids are kept.
inline constexpr uint32_t kCallOwners = 64;
// write: `mode` holds, for a file that exists, too.
inline constexpr uint32_t kCallHasMode = 128;

struct Call {
  std::string op;
  std::string path;  // absolute, in the commands' root
  std::string to;    // rename: the new path; symlink: what the link says
  uint32_t flags = 0;
  uint32_t mode = 0;  // permission bits
  uint64_t offset = 0;
  uint64_t length = UINT64_MAX;  // read: at most
  int64_t uid = -1;              // chown: -1 leaves it
  int64_t gid = -1;
  int64_t mtime_ns = 0;
};

// What stat(2) says, Linux numbers.
struct FileInfo {
  std::string name;  // in a listing or a tree
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  // of 512 bytes
  uint64_t inode = 0;
  uint64_t links = 0;
  uint64_t device = 0;  // a device node's number
  int64_t mtime_ns = 0;
  std::string target;  // what a symbolic link says
};

struct GuestStats {
  uint64_t uptime_us = 0;
  uint64_t memory_kib = 0;
  uint64_t memory_available_kib = 0;
  uint32_t load_milli[3] = {};  // over 1, 5 and 15 minutes
  uint32_t processes = 0;
  uint64_t root_bytes = 0;  // of the file system that the root's changes go to
  uint64_t root_available_bytes = 0;
};

// RESULT. Each operation sets what it has to say.
struct CallResult {
  uint64_t bytes = 0;  // read, write: how many were moved
  std::optional<FileInfo> info;
  std::optional<GuestStats> stats;
};

// A listing is a stream of FileInfos, each after its length as a u32; so are a tree's entries.
inline constexpr uint32_t kMaxEntryBytes = 16 * 1024;
void append_entry(std::string& stream, const FileInfo& entry);
// One component of a path that leads nowhere but into its directory.
bool is_name(std::string_view name);

std::string encode(const Call&);
std::string encode(const FileInfo&);
std::string encode(const CallResult&);

}  // namespace vmette::wire
