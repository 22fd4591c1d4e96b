#pragma once

#include <dirent.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tree/tree.h"
#include "wire/calls.h"

namespace vmette::tree {

// Reads a tree piece by piece. Follows no link, enters no other file system (what is mounted in the
// tree is an empty directory), passes over what has vanished meanwhile. One thread at a time.
class Packer {
 public:
  // `top` is open for reading: a directory or a regular file.
  explicit Packer(UniqueFd top);

  // The next bytes; none at the end, or when `room` is smaller than 64 bytes. Nothing more comes
  // after a failure.
  size_t fill(std::span<std::byte> room);
  [[nodiscard]] bool over() const { return state_ == State::kOver && pending_.empty(); }
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  [[nodiscard]] const Progress& progress() const { return progress_; }
  // Of what is being packed, below the top.
  [[nodiscard]] std::string path() const;

 private:
  enum class State : uint8_t { kTop, kDirectory, kFile, kOver };
  struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
  };
  struct Level {
    std::unique_ptr<DIR, CloseDirectory> directory;
    int fd;  // the directory's
    std::string name;
  };

  void begin();
  void next_entry();
  void add_entry(const char* name);
  void add_directory(const char* name, wire::FileInfo& info);
  void add_file(const char* name, wire::FileInfo& info);
  void add_link(const char* name, wire::FileInfo& info);
  void enter(UniqueFd directory, const char* name);
  size_t fill_piece(std::span<std::byte> room);
  void find_data();
  void end_file(uint64_t size);
  void emit(const wire::FileInfo& info);
  void vanished(int error, const char* name);
  void fail(int error, const char* name = "");

  State state_ = State::kTop;
  UniqueFd top_;
  uint64_t device_ = 0;  // of the top's file system
  std::vector<Level> levels_;
  std::string pending_;  // records that are not yet handed out
  UniqueFd file_;
  std::string file_name_;
  uint64_t offset_ = 0;    // in file_
  uint64_t data_end_ = 0;  // where the next hole begins
  std::optional<Failure> failure_;
  Progress progress_;
};

}  // namespace vmette::tree
