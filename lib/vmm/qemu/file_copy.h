// Copies of files, holes kept, for a thread that may be told to stop. All throw CopyError, and
// Cancelled soon after `cancelled` has become true.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <string>
#include <system_error>

namespace vmette::vmm {

struct CopyError : std::system_error {
  CopyError(int error, bool of_source)
      : std::system_error(error, std::generic_category()), reading(of_source) {}
  // In words, without more.
  [[nodiscard]] std::string reason() const { return code().message(); }
  // There is no room, or not for one more byte in one file.
  [[nodiscard]] bool full() const;

  bool reading;  // the source, else the copy
};

// Makes the empty file `to` a copy of `from`, sharing its blocks where the file system can.
void clone_file(int from, int to, const std::atomic<bool>& cancelled);

// Makes the empty file `to` a copy of `from`, a memfd that nobody resizes: pages of zeros become
// holes.
void copy_memory(int from, int to, const std::atomic<bool>& cancelled);

// Makes holes of a file's pages of zeros, where the file system can. Its size is a whole number of
// pages.
void punch_zeros(int fd, const std::atomic<bool>& cancelled);

// What comes out of a pipe, until its end.
void drain_pipe(int pipe, int to, const std::atomic<bool>& cancelled);
// The whole file into a pipe; a reader that has gone is the end of it.
void fill_pipe(int from, int pipe, const std::atomic<bool>& cancelled);

// Onto the disk, piece by piece.
void sync_file(int fd, const std::atomic<bool>& cancelled);

}  // namespace vmette::vmm
