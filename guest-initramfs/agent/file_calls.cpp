#include "file_calls.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace vmette::agent {
namespace {

constexpr mode_t kPermissionBits = 07777;
constexpr mode_t kUsualMode = 0644;

std::string random_name() {
  uint64_t number = 0;
  while (getrandom(&number, sizeof number, 0) < 0 && errno == EINTR) {
  }
  return ".vmette-" + std::to_string(number);
}

}  // namespace

bool SourceCall::credit(const wire::Frame& frame) {
  if (static_cast<wire::Channel>(frame.channel()) != wire::Channel::kStdout) return false;
  if (over()) return true;
  if (!credit_.grant(wire::decode_credit(frame.payload))) return false;
  offer();
  return true;
}

void SourceCall::offer() {
  context_.control.output().offer(*this);
}

// RESULT goes behind the frame that is being filled: messages wait for the next batch.
Source::Pulled SourceCall::pull(std::span<std::byte> room) {
  if (over()) return {};
  const Filled filled = fill(room.first(std::min<size_t>(room.size(), credit_.left())));
  if (over()) return {};
  credit_.spend(static_cast<uint32_t>(filled.bytes));
  sent_ += filled.bytes;
  if (filled.end) {
    wire::CallResult result;
    result.bytes = sent_;
    succeed(result);
  }
  return {filled.bytes, wire::channel_flags(wire::Channel::kStdout, filled.end),
          filled.end || filled.bytes > 0, !filled.end && filled.bytes > 0 && credit_.left() > 0};
}

bool SinkCall::data(const wire::Frame& frame) {
  const auto bytes = static_cast<uint32_t>(frame.payload.size());
  if (static_cast<wire::Channel>(frame.channel()) != wire::Channel::kStdin) return false;
  if (!credit_.receive(bytes)) return false;
  if (over() || !take(frame.payload)) return true;
  received_ += bytes;
  credit_.consume(bytes);
  if (const uint32_t grant = credit_.take_grant(); grant > 0)
    context_.control.send(wire::Type::kCredit, wire::channel_flags(wire::Channel::kStdin), stream_,
                          wire::encode_credit(grant));
  if (!frame.eof() || !end()) return true;
  wire::CallResult result;
  result.bytes = received_;
  succeed(result);
  return true;
}

FileReader::FileReader(CallContext& context, uint64_t stream, const wire::Call& request)
    : SourceCall(context, stream, request), offset_(request.offset), left_(request.length) {}

void FileReader::start() {
  file_ = open_in_root(context_.root.directory.get(), path(), O_RDONLY);
  struct stat status{};
  if (!file_ || fstat(file_.get(), &status) != 0) return fail(errno);
  if (S_ISDIR(status.st_mode)) return fail(EISDIR);
  if (offset_ != 0 && lseek(file_.get(), static_cast<off_t>(offset_), SEEK_SET) < 0)
    return fail(errno);
  offer();
}

SourceCall::Filled FileReader::fill(std::span<std::byte> room) {
  if (left_ == 0) return {0, true};
  if (room.empty()) return {};
  ssize_t got = 0;
  do {
    got = read(file_.get(), room.data(), std::min<uint64_t>(room.size(), left_));
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    fail(errno);
    return {};
  }
  left_ -= static_cast<uint64_t>(got);
  return {static_cast<size_t>(got), got == 0 || left_ == 0};
}

FileWriter::FileWriter(CallContext& context, uint64_t stream, const wire::Call& request)
    : SinkCall(context, stream, request), request_(request) {}

FileWriter::~FileWriter() {
  drop_temporary();
}

void FileWriter::start() {
  if (const int error = open_file(); error != 0) fail(error);
}

int FileWriter::open_file() {
  const int root = context_.root.directory.get();
  if ((request_.flags & wire::kCallParents) != 0)
    if (const int error = make_parents(root, path()); error != 0) return error;
  if ((request_.flags & wire::kCallAtomic) != 0) return open_temporary();
  int flags = O_WRONLY | O_CREAT;
  flags |= (request_.flags & wire::kCallAppend) != 0 ? O_APPEND : O_TRUNC;
  if ((request_.flags & wire::kCallExclusive) != 0) flags |= O_EXCL;
  const bool has_mode = (request_.flags & wire::kCallHasMode) != 0;
  const mode_t mode = request_.mode & kPermissionBits;
  file_ = open_in_root(root, path(), flags, has_mode ? mode : kUsualMode);
  if (!file_ || (has_mode && fchmod(file_.get(), mode) != 0)) return errno;
  return 0;
}

// The file keeps mode and owner of what it replaces, unless the host says otherwise.
int FileWriter::open_temporary() {
  if (path().ends_with('/')) return EISDIR;
  place_ = place_of(context_.root.directory.get(), path());
  if (place_.error != 0) return place_.error;
  const int directory = place_.directory.get();
  struct stat old{};
  const bool exists = fstatat(directory, place_.name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && S_ISDIR(old.st_mode)) return EISDIR;
  if (exists && (request_.flags & wire::kCallExclusive) != 0) return EEXIST;
  UniqueFd file;
  do {
    temporary_ = random_name();
    file.reset(openat(directory, temporary_.c_str(),
                      O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file && errno != EEXIST) {
      const int error = errno;
      temporary_.clear();
      return error;
    }
  } while (!file);
  file_ = std::move(file);
  mode_t mode = kUsualMode;
  if (exists && S_ISREG(old.st_mode)) {
    mode = old.st_mode & kPermissionBits;
    if (fchown(file_.get(), old.st_uid, old.st_gid) != 0) return errno;
  }
  if ((request_.flags & wire::kCallHasMode) != 0) mode = request_.mode & kPermissionBits;
  return fchmod(file_.get(), mode) == 0 ? 0 : errno;
}

bool FileWriter::take(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = write(file_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      // Some files of /proc take nothing and say nothing.
      fail(put < 0 ? errno : EIO);
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return true;
}

bool FileWriter::end() {
  const int error = commit();
  if (error != 0) fail(error);
  return error == 0;
}

int FileWriter::commit() {
  if (!temporary_.empty()) return take_place();
  // Some file systems only say now that there is no room.
  return ::close(file_.release()) == 0 ? 0 : errno;
}

// A name that is taken is refused by linkat on every file system, by RENAME_NOREPLACE only on some.
int FileWriter::take_place() {
  const int directory = place_.directory.get();
  const char* name = place_.name.c_str();
  if (fsync(file_.get()) != 0 || ::close(file_.release()) != 0) return errno;
  if ((request_.flags & wire::kCallExclusive) != 0) {
    if (linkat(directory, temporary_.c_str(), directory, name, 0) != 0) return errno;
    drop_temporary();
    return 0;
  }
  if (renameat(directory, temporary_.c_str(), directory, name) != 0) return errno;
  temporary_.clear();
  return 0;
}

void FileWriter::drop_temporary() {
  if (!temporary_.empty()) unlinkat(place_.directory.get(), temporary_.c_str(), 0);
  temporary_.clear();
}

}  // namespace vmette::agent
