// Calls that go through directories, however large, without holding up the loop.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "file_calls.h"

namespace vmette::agent {

// Reads a directory's names a few at a time.
class DirectoryReader {
 public:
  // A descriptor of a directory, read from where it stands.
  explicit DirectoryReader(int directory) : directory_(directory) {}

  // The next name other than "." and "..", null at the end or, with `error` set, when reading
  // failed. Valid until the next call.
  const char* next();
  [[nodiscard]] int error() const { return error_; }

 private:
  int directory_;
  int error_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  alignas(8) char buffer_[4096];
};

// FileInfos of what is in a directory.
class Lister final : public SourceCall {
 public:
  using SourceCall::SourceCall;
  void start() override;

 private:
  Filled fill(std::span<std::byte> room) override;
  bool add_entry();

  UniqueFd directory_;
  std::unique_ptr<DirectoryReader> names_;
  bool read_ = false;  // to the end
  std::string kept_;   // entries that are not sent yet
};

// Removes one file or, on request, a directory with what is in it, in pieces. Never follows a link
// and never enters another file system.
class Remover final : public OpenCall, private Alarm {
 public:
  Remover(CallContext& context, uint64_t stream, const wire::Call& request)
      : OpenCall(context, stream, request),
        recursive_((request.flags & wire::kCallRecursive) != 0) {}
  ~Remover() override { context_.loop.clear_alarm(*this); }

  void start() override;

 private:
  static constexpr int kPerTurn = 128;
  static constexpr size_t kMaxDepth = 1024;
  // Directories that were found not empty once they had been emptied: what makes files faster than
  // they are removed, or hides them, must not keep the agent busy for ever.
  static constexpr int kMostRefilled = 100;

  // A directory being emptied; its own parent is the level above, or place_.directory.
  struct Level {
    UniqueFd directory;
    std::string name;
  };

  void due() override;
  bool empty_some();
  bool enter(int parent, const char* name);
  bool leave();
  void give_up(int error, const char* name);

  bool recursive_;
  int refilled_ = 0;
  Place place_;
  std::vector<Level> levels_;
};

}  // namespace vmette::agent
