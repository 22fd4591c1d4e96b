#include "directory_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "file_ops.h"

namespace vmette::agent {

const char* DirectoryReader::next() {
  while (true) {
    if (begin_ == end_) {
      const auto got = syscall(SYS_getdents64, directory_, buffer_, sizeof buffer_);
      if (got <= 0) {
        error_ = got < 0 ? errno : 0;
        return nullptr;
      }
      begin_ = 0;
      end_ = static_cast<size_t>(got);
    }
    const auto* entry = reinterpret_cast<const dirent64*>(buffer_ + begin_);
    begin_ += entry->d_reclen;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return entry->d_name;
  }
}

void Lister::start() {
  directory_ = open_in_root(context_.root.directory.get(), path(), O_RDONLY | O_DIRECTORY);
  if (!directory_) return fail(errno);
  names_ = std::make_unique<DirectoryReader>(directory_.get());
  offer();
}

// False at the end.
bool Lister::add_entry() {
  const char* name = names_->next();
  if (name == nullptr) return false;
  auto info = file_info(directory_.get(), name);
  if (!info && errno == ENOENT) return true;  // it is gone meanwhile
  // What cannot be looked at is there all the same.
  if (!info) info.emplace();
  info->name = name;
  wire::append_entry(kept_, *info);
  return true;
}

SourceCall::Filled Lister::fill(std::span<std::byte> room) {
  while (!read_ && kept_.size() < room.size()) read_ = !add_entry();
  if (names_->error() != 0) {
    fail(names_->error());
    return {};
  }
  const size_t bytes = std::min(room.size(), kept_.size());
  std::memcpy(room.data(), kept_.data(), bytes);
  kept_.erase(0, bytes);
  return {bytes, read_ && kept_.empty()};
}

void Remover::start() {
  place_ = place_of(context_.root.directory.get(), path());
  if (place_.error != 0) return fail(place_.error);
  const int parent = place_.directory.get();
  const char* name = place_.name.c_str();
  if (unlinkat(parent, name, 0) == 0) return succeed({});
  if (errno != EISDIR && errno != EPERM) return fail(errno);
  const int why = errno;
  if (unlinkat(parent, name, AT_REMOVEDIR) == 0) return succeed({});
  // A file that may not be removed is no directory.
  if (errno == ENOTDIR) return fail(why);
  if (!recursive_ || (errno != ENOTEMPTY && errno != EEXIST)) return fail(errno);
  if (enter(parent, name)) context_.loop.set_alarm(*this, 0);
}

void Remover::due() {
  if (!over() && empty_some()) context_.loop.set_alarm(*this, 0);
}

// True when there is more to do. What is gone stays gone, so each visit of a level begins anew.
bool Remover::empty_some() {
  int done = 0;
  while (done++ < kPerTurn) {
    const int directory = levels_.back().directory.get();
    lseek(directory, 0, SEEK_SET);
    DirectoryReader names(directory);
    bool entered = false;
    const char* name = nullptr;
    while (!entered && done <= kPerTurn && (name = names.next()) != nullptr) {
      ++done;
      if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR && errno != EPERM) return give_up(errno, name), false;
      const int why = errno;
      if (unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
      // A file that may not be removed is no directory.
      if (errno == ENOTDIR) return give_up(why, name), false;
      if (errno != ENOTEMPTY && errno != EEXIST) return give_up(errno, name), false;
      if (!enter(directory, name)) return false;
      entered = true;
    }
    // ENOENT: somebody else has removed the directory itself.
    if (names.error() != 0 && names.error() != ENOENT) return give_up(names.error(), ""), false;
    if (name == nullptr && !entered && !leave()) return false;
  }
  return true;
}

bool Remover::enter(int parent, const char* name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  UniqueFd directory(static_cast<int>(syscall(SYS_openat2, parent, name, &how, sizeof how)));
  if (!directory || levels_.size() == kMaxDepth) {
    const int error = directory ? ENAMETOOLONG : errno;
    // A mount point, which rmdir would not remove either.
    give_up(error == EXDEV ? EBUSY : error, levels_.empty() ? "" : name);
    return false;
  }
  levels_.push_back({std::move(directory), name});
  return true;
}

// Removes the level that has been emptied. False when the call is over.
bool Remover::leave() {
  const std::string name = std::move(levels_.back().name);
  levels_.pop_back();
  const int parent = levels_.empty() ? place_.directory.get() : levels_.back().directory.get();
  // Not empty: something was made in it meanwhile.
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    const int error = errno;
    const bool filled = error == ENOTEMPTY || error == EEXIST;
    if (filled && ++refilled_ <= kMostRefilled) return enter(parent, name.c_str());
    give_up(error, levels_.empty() ? "" : name.c_str());
    return false;
  }
  if (!levels_.empty()) return true;
  succeed({});
  return false;
}

// Names what could not be removed.
void Remover::give_up(int error, const char* name) {
  std::string where = path();
  for (size_t i = 1; i < levels_.size(); ++i) where += "/" + levels_[i].name;
  if (*name != '\0') where += std::string("/") + name;
  fail(error, where.substr(0, 8192));
}

}  // namespace vmette::agent
