#include "tree/unpacker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string_view>

#include "base/file_time.h"

namespace vmette::tree {
namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

uint64_t get(std::string_view bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

}  // namespace

Unpacker::Unpacker(UniqueFd parent, std::string name, const UnpackOptions& options)
    : parent_(std::move(parent)), top_name_(std::move(name)), options_(options) {}

std::string Unpacker::path() const {
  std::string path;
  for (size_t i = 1; i < levels_.size(); ++i) path += levels_[i].info.name + "/";
  if (file_) return path + file_info_.name;
  if (!path.empty()) path.pop_back();
  return path;
}

int Unpacker::here() const {
  return levels_.empty() ? parent_.get() : levels_.back().directory.get();
}

const char* Unpacker::name_of(const wire::FileInfo& info) const {
  return levels_.empty() ? top_name_.c_str() : info.name.c_str();
}

bool Unpacker::take(std::span<const std::byte> bytes) {
  while (!bytes.empty() && !failure_) bytes = bytes.subspan(take_some(bytes));
  return !failure_;
}

size_t Unpacker::take_some(std::span<const std::byte> bytes) {
  auto rest = bytes;
  if (state_ == State::kContent) return take_content(bytes);
  if (state_ == State::kPiece) {
    if (collect(rest, kPieceHeaderBytes)) take_piece();
  } else if (state_ == State::kOver) {
    malformed("bytes follow the end of a tree");
  } else if (record_.size() < sizeof(uint32_t) && !collect(rest, sizeof(uint32_t))) {
    return bytes.size();
  } else {
    const uint64_t length = get(record_, 0, sizeof(uint32_t));
    if (length > wire::kMaxEntryBytes)
      malformed("an entry of " + std::to_string(length) + " bytes");
    else if (collect(rest, sizeof(uint32_t) + length))
      take_entry();
  }
  return bytes.size() - rest.size();
}

// Moves bytes into record_ until it has `size`; false when it has fewer.
bool Unpacker::collect(std::span<const std::byte>& bytes, size_t size) {
  const size_t count = std::min(bytes.size(), size - record_.size());
  record_.append(reinterpret_cast<const char*>(bytes.data()), count);
  bytes = bytes.subspan(count);
  return record_.size() == size;
}

void Unpacker::take_entry() {
  const auto payload = std::as_bytes(std::span(record_)).subspan(sizeof(uint32_t));
  auto entry = wire::decode<wire::FileInfo>(payload);
  record_.clear();
  if (!entry.value) return malformed(entry.error);
  wire::FileInfo& info = *entry.value;
  if (state_ == State::kTop) {
    if (!info.name.empty()) return malformed("the top of a tree has a name");
  } else if (info.name.empty() && info.mode == 0) {
    return leave();
  } else if (!wire::is_name(info.name)) {
    return malformed("an entry is named '" + info.name + "'");
  }
  state_ = State::kEntry;
  make(info);
}

void Unpacker::make(wire::FileInfo& info) {
  switch (info.mode & S_IFMT) {
    case S_IFDIR:
      return make_directory(info);
    case S_IFREG:
      return make_file(info);
    case S_IFLNK:
      if (levels_.empty()) return malformed("the top of a tree is a link");
      return make_link(info);
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      if (levels_.empty()) return malformed("the top of a tree is no directory and no file");
      ++progress_.skipped;
      return;
    default:
      malformed("an entry of an unknown type");
  }
}

void Unpacker::make_directory(wire::FileInfo& info) {
  const char* name = name_of(info);
  if (levels_.size() == kMaxDepth) return fail(ENAMETOOLONG, info.name);
  if (mkdirat(here(), name, 0700) != 0 && errno != EEXIST) return fail(errno, info.name);
  UniqueFd directory(openat(here(), name, kDirectoryFlags));
  // A link, or a file, in the place of the directory.
  if (!directory) return fail(errno == ELOOP || errno == EMLINK ? ENOTDIR : errno, info.name);
  ++progress_.entries;
  levels_.push_back({std::move(directory), std::move(info)});
}

// Whatever is there goes: nothing is written through a link or into a file that has other names.
bool Unpacker::make_room(const char* name) {
  return unlinkat(here(), name, 0) == 0 || errno == ENOENT;
}

void Unpacker::make_file(wire::FileInfo& info) {
  const char* name = name_of(info);
  if (!make_room(name)) return fail(errno == EPERM || errno == EINVAL ? EISDIR : errno, info.name);
  file_.reset(openat(here(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file_) return fail(errno, info.name);
  ++progress_.entries;
  file_info_ = std::move(info);
  offset_ = 0;
  state_ = State::kPiece;
}

void Unpacker::make_link(const wire::FileInfo& info) {
  const char* name = info.name.c_str();
  if (info.target.empty() || info.target.size() >= PATH_MAX ||
      info.target.find('\0') != std::string::npos)
    return malformed("a link that cannot be one");
  if (!make_room(name)) return fail(errno == EPERM || errno == EINVAL ? EISDIR : errno, info.name);
  if (symlinkat(info.target.c_str(), here(), name) != 0) return fail(errno, info.name);
  if (options_.owners && fchownat(here(), name, info.uid, info.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return fail(errno, info.name);
  const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(info.mtime_ns)};
  if (utimensat(here(), name, times, AT_SYMLINK_NOFOLLOW) != 0) return fail(errno, info.name);
  ++progress_.entries;
}

void Unpacker::leave() {
  if (levels_.empty()) return malformed("a tree goes up from its top");
  if (const int error = finish(levels_.back().directory.get(), levels_.back().info); error != 0)
    return fail(error);
  levels_.pop_back();
  if (levels_.empty()) state_ = State::kOver;
}

int Unpacker::finish(int file, const wire::FileInfo& info) const {
  if (options_.owners && fchown(file, info.uid, info.gid) != 0) return errno;
  if (fchmod(file, static_cast<mode_t>(info.mode) & options_.modes & 07777) != 0) return errno;
  const timespec times[2] = {{0, UTIME_OMIT}, to_timespec(info.mtime_ns)};
  return futimens(file, times) == 0 ? 0 : errno;
}

void Unpacker::take_piece() {
  const uint64_t offset = get(record_, 0, sizeof(uint64_t));
  left_ = get(record_, sizeof(uint64_t), sizeof(uint32_t));
  record_.clear();
  if (offset < offset_ || offset > static_cast<uint64_t>(INT64_MAX) - kMaxPieceBytes ||
      left_ > kMaxPieceBytes)
    return malformed("a piece of a file that is out of order or too large");
  if (left_ == 0) return end_file(offset);
  if (left_ > options_.most_bytes - progress_.bytes) return fail(EFBIG);
  offset_ = offset;
  state_ = State::kContent;
}

size_t Unpacker::take_content(std::span<const std::byte> bytes) {
  const size_t size = std::min<uint64_t>(bytes.size(), left_);
  const ssize_t put = pwrite(file_.get(), bytes.data(), size, static_cast<off_t>(offset_));
  if (put <= 0) {
    // No file that is worth the name takes nothing.
    if (put == 0) fail(EIO);
    if (put < 0 && errno != EINTR) fail(errno);
    return 0;
  }
  const auto done = static_cast<uint64_t>(put);
  offset_ += done;
  left_ -= done;
  progress_.bytes += done;
  if (left_ == 0) state_ = State::kPiece;
  return static_cast<size_t>(put);
}

void Unpacker::end_file(uint64_t size) {
  if (ftruncate(file_.get(), static_cast<off_t>(size)) != 0) return fail(errno);
  if (const int error = finish(file_.get(), file_info_); error != 0) return fail(error);
  // Some file systems only say now that there is no room.
  if (close(file_.release()) != 0) return fail(errno, file_info_.name);
  state_ = levels_.empty() ? State::kOver : State::kEntry;
}

bool Unpacker::end() {
  if (!failure_ && state_ != State::kOver) malformed("a tree ends before its end");
  return !failure_;
}

void Unpacker::fail(int error, const std::string& name) {
  std::string where = path();
  if (!name.empty()) where += (where.empty() ? "" : "/") + name;
  failure_ = Failure{error, std::move(where), ""};
}

void Unpacker::malformed(std::string message) {
  failure_ = Failure{0, path(), std::move(message)};
}

}  // namespace vmette::tree
