// What the host feeds a command: DATA frames into its stdin pipe or terminal.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "control.h"
#include "credit.h"
#include "loop.h"

namespace vmette::agent {

// Buffers at most one credit window for a command that does not read. Once nobody can read any more
// (or there never was a stdin), bytes are dropped and credited.
class InputStream final : private Watcher {
 public:
  InputStream(Loop& loop, ControlStream& control, uint64_t stream);
  ~InputStream();

  // Takes the write end of a pipe or a master of the terminal, non-blocking. 0 or an errno.
  int open(UniqueFd fd, bool terminal);

  // False when the host breaks the protocol: more than its credit, or bytes after EOF.
  [[nodiscard]] bool receive(std::span<const std::byte> bytes, bool eof);

  // Nobody reads any more, or nobody shall.
  void close();
  // The command has ended: a pipe is closed once what has come is written.
  void end();
  // Nothing may be said about the stream any more: closes, and grants no credit.
  void fall_silent();
  // The host that fed it is gone: as end(), and grants no credit.
  void disown();

 private:
  void ready(uint32_t events) override;
  void write_pending();
  [[nodiscard]] size_t write_some(const char* bytes, size_t size);
  void consume(size_t bytes);
  void finish();
  [[nodiscard]] std::string end_of_file_characters() const;

  Loop& loop_;
  ControlStream& control_;
  uint64_t stream_;
  UniqueFd fd_;
  bool terminal_ = false;
  bool writable_ = true;
  bool eof_ = false;     // the host has sent it
  bool ending_ = false;  // what is pending is all
  bool silent_ = false;
  bool end_sent_ = false;         // the end-of-file character is in pending_ or written
  bool line_incomplete_ = false;  // the last byte given to the terminal ended no line
  size_t uncredited_tail_ = 0;    // end-of-file characters at the end of pending_
  ReceiveCredit credit_;
  std::string pending_;
  size_t begin_ = 0;  // of what is left of pending_
};

}  // namespace vmette::agent
