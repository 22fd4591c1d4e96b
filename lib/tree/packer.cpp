#include "tree/packer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string_view>

#include "base/file_time.h"

namespace vmette::tree {
namespace {

constexpr size_t kSmallestRoom = 64;

wire::FileInfo info_of(const struct stat& status, const char* name) {
#ifdef __APPLE__
  const timespec& mtime = status.st_mtimespec;
#else
  const timespec& mtime = status.st_mtim;
#endif
  wire::FileInfo info;
  info.name = name;
  info.mode = status.st_mode;
  info.uid = status.st_uid;
  info.gid = status.st_gid;
  info.size = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
  info.mtime_ns = to_nanoseconds(mtime);
  return info;
}

void put(std::byte* out, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
}

}  // namespace

Packer::Packer(UniqueFd top) : top_(std::move(top)) {}

std::string Packer::path() const {
  std::string path;
  for (size_t i = 1; i < levels_.size(); ++i) path += levels_[i].name + "/";
  if (state_ == State::kFile) return path + file_name_;
  if (!path.empty()) path.pop_back();
  return path;
}

size_t Packer::fill(std::span<std::byte> room) {
  size_t done = 0;
  while (!failure_ && room.size() - done >= kSmallestRoom) {
    if (!pending_.empty()) {
      const size_t size = std::min(room.size() - done, pending_.size());
      std::memcpy(room.data() + done, pending_.data(), size);
      pending_.erase(0, size);
      done += size;
    } else if (state_ == State::kTop) {
      begin();
    } else if (state_ == State::kDirectory) {
      next_entry();
    } else if (state_ == State::kFile) {
      done += fill_piece(room.subspan(done));
    } else {
      break;
    }
  }
  return done;
}

void Packer::begin() {
  struct stat status{};
  if (fstat(top_.get(), &status) != 0) return fail(errno);
  device_ = static_cast<uint64_t>(status.st_dev);
  wire::FileInfo info = info_of(status, "");
  if (S_ISDIR(status.st_mode)) {
    ++progress_.entries;
    emit(info);
    enter(std::move(top_), "");
  } else if (S_ISREG(status.st_mode)) {
    file_ = std::move(top_);
    add_file("", info);
  } else {
    fail(EINVAL);
  }
}

void Packer::next_entry() {
  errno = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): safe, since no other thread has this stream
  const dirent* entry = readdir(levels_.back().directory.get());
  if (entry == nullptr) {
    if (errno != 0) return fail(errno);
    levels_.pop_back();
    // An entry without a name and a type: one level up.
    emit({});
    if (levels_.empty()) state_ = State::kOver;
    return;
  }
  const std::string_view name = entry->d_name;
  if (name != "." && name != "..") add_entry(entry->d_name);
}

void Packer::add_entry(const char* name) {
  const int parent = levels_.back().fd;
  struct stat status{};
  if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return vanished(errno, name);
  wire::FileInfo info = info_of(status, name);
  if (S_ISDIR(status.st_mode)) return add_directory(name, info);
  if (S_ISLNK(status.st_mode)) return add_link(name, info);
  if (S_ISREG(status.st_mode)) {
    file_.reset(openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    return file_ ? add_file(name, info) : vanished(errno, name);
  }
  ++progress_.skipped;
  emit(info);
}

void Packer::add_directory(const char* name, wire::FileInfo& info) {
  const int parent = levels_.back().fd;
  UniqueFd directory(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return vanished(errno, name);
  struct stat status{};
  if (fstat(directory.get(), &status) != 0) return fail(errno, name);
  if (levels_.size() == kMaxDepth) return fail(ENAMETOOLONG, name);
  emit(info);
  ++progress_.entries;
  if (static_cast<uint64_t>(status.st_dev) != device_) return emit({});
  enter(std::move(directory), name);
}

void Packer::enter(UniqueFd directory, const char* name) {
  DIR* stream = fdopendir(directory.get());
  if (stream == nullptr) return fail(errno, name);
  Level level{std::unique_ptr<DIR, CloseDirectory>(stream), directory.release(), name};
  levels_.push_back(std::move(level));
  state_ = State::kDirectory;
}

void Packer::add_link(const char* name, wire::FileInfo& info) {
  std::array<char, PATH_MAX> target;
  const int parent = levels_.back().fd;
  const ssize_t size = readlinkat(parent, name, target.data(), target.size());
  if (size < 0) return vanished(errno, name);
  info.target.assign(target.data(), static_cast<size_t>(size));
  ++progress_.entries;
  emit(info);
}

void Packer::add_file(const char* name, wire::FileInfo& info) {
  // It may be another file by now, but it is the one that is sent.
  struct stat status{};
  if (fstat(file_.get(), &status) != 0) return fail(errno, name);
  if (!S_ISREG(status.st_mode)) return fail(EINVAL, name);
  info = info_of(status, name);
  ++progress_.entries;
  emit(info);
  file_name_ = name;
  offset_ = data_end_ = 0;
  state_ = State::kFile;
}

// Goes to the next byte that is no hole.
void Packer::find_data() {
#ifdef SEEK_DATA
  const off_t data = lseek(file_.get(), static_cast<off_t>(offset_), SEEK_DATA);
  if (data >= 0) {
    const off_t hole = lseek(file_.get(), data, SEEK_HOLE);
    offset_ = static_cast<uint64_t>(data);
    data_end_ = hole > data ? static_cast<uint64_t>(hole) : UINT64_MAX;
    return;
  }
  struct stat status{};
  // No data up to the end: the file ends with a hole.
  if (errno == ENXIO && fstat(file_.get(), &status) == 0)
    return end_file(std::max(offset_, static_cast<uint64_t>(status.st_size)));
#endif
  data_end_ = UINT64_MAX;
}

size_t Packer::fill_piece(std::span<std::byte> room) {
  if (offset_ >= data_end_) {
    find_data();
    if (state_ != State::kFile || failure_) return 0;
  }
  const uint64_t most =
      std::min<uint64_t>({room.size() - kPieceHeaderBytes, kMaxPieceBytes, data_end_ - offset_});
  ssize_t got = 0;
  do {
    got = pread(file_.get(), room.data() + kPieceHeaderBytes, most, static_cast<off_t>(offset_));
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    fail(errno, file_name_.c_str());
    return 0;
  }
  if (got == 0) {
    end_file(offset_);
    return 0;
  }
  put(room.data(), offset_, sizeof(uint64_t));
  put(room.data() + sizeof(uint64_t), static_cast<uint64_t>(got), sizeof(uint32_t));
  offset_ += static_cast<uint64_t>(got);
  progress_.bytes += static_cast<uint64_t>(got);
  return kPieceHeaderBytes + static_cast<size_t>(got);
}

void Packer::end_file(uint64_t size) {
  std::array<std::byte, kPieceHeaderBytes> header{};
  put(header.data(), size, sizeof(uint64_t));
  pending_.append(reinterpret_cast<const char*>(header.data()), header.size());
  file_.reset();
  state_ = levels_.empty() ? State::kOver : State::kDirectory;
}

void Packer::emit(const wire::FileInfo& info) {
  wire::append_entry(pending_, info);
}

// What is gone since its name was read is no failure.
void Packer::vanished(int error, const char* name) {
  if (error != ENOENT) fail(error, name);
}

void Packer::fail(int error, const char* name) {
  std::string where = path();
  if (*name != '\0' && state_ != State::kFile)
    where += (where.empty() ? "" : "/") + std::string(name);
  failure_ = Failure{error, std::move(where), ""};
  pending_.clear();
  state_ = State::kOver;
}

}  // namespace vmette::tree
