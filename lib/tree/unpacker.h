#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "tree/tree.h"
#include "wire/calls.h"

namespace vmette::tree {

struct UnpackOptions {
  mode_t modes = 07777;              // bits that files may get
  bool owners = false;               // give uids and gids as well
  uint64_t most_bytes = UINT64_MAX;  // of content; more is EFBIG
};

// Makes a tree from what Packer says, or from what a liar says: it follows no link that is there or
// that comes, replaces files instead of writing through them, and makes nothing but directories,
// regular files and symbolic links. A directory that is there is filled up. One thread at a time.
class Unpacker {
 public:
  // The top becomes `name` in `parent`, a directory.
  Unpacker(UniqueFd parent, std::string name, const UnpackOptions& options);

  // False when it cannot go on: see failure().
  [[nodiscard]] bool take(std::span<const std::byte> bytes);
  // Nothing follows. False when something is missing.
  [[nodiscard]] bool end();
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  [[nodiscard]] const Progress& progress() const { return progress_; }
  // Of what is being unpacked, below the top.
  [[nodiscard]] std::string path() const;

 private:
  enum class State : uint8_t { kTop, kEntry, kPiece, kContent, kOver };
  struct Level {
    UniqueFd directory;
    wire::FileInfo info;  // set when all is in it
  };

  size_t take_some(std::span<const std::byte> bytes);
  [[nodiscard]] bool collect(std::span<const std::byte>& bytes, size_t size);
  void take_entry();
  void make(wire::FileInfo& info);
  void make_directory(wire::FileInfo& info);
  void make_file(wire::FileInfo& info);
  void make_link(const wire::FileInfo& info);
  void leave();
  void take_piece();
  void end_file(uint64_t size);
  size_t take_content(std::span<const std::byte> bytes);
  // 0 or an errno.
  int finish(int file, const wire::FileInfo& info) const;
  [[nodiscard]] bool make_room(const char* name);
  [[nodiscard]] int here() const;
  [[nodiscard]] const char* name_of(const wire::FileInfo& info) const;
  void fail(int error, const std::string& name = "");
  void malformed(std::string message);

  UniqueFd parent_;
  std::string top_name_;
  UnpackOptions options_;
  State state_ = State::kTop;
  std::vector<Level> levels_;
  std::string record_;  // an entry or a piece's header that is not whole yet
  UniqueFd file_;
  wire::FileInfo file_info_;
  uint64_t offset_ = 0;
  uint64_t left_ = 0;  // of the piece
  std::optional<Failure> failure_;
  Progress progress_;
};

}  // namespace vmette::tree
