// What a child of the host program's fork() does not get. A copy of a pipe's end or of a helper's
// socket would keep waiting whoever waits for that end to be closed, for as long as the child
// lives.
#pragma once

#include <csignal>
#include <cstdint>
#include <utility>

#include "base/unique_fd.h"

namespace vmette::core {

// How many forks lie between the process that loaded the library and this one: what was made at
// another generation belongs to a parent, whose threads are not here.
uint32_t fork_generation();

// 0, or the errno with which the library failed to hear of forks.
int fork_guard_status();

// While one exists fork() waits, in whatever thread. For a few system calls. Signals are blocked
// meanwhile, because a handler may fork. One at a time in a thread.
class ForkGate {
 public:
  ForkGate();
  ~ForkGate();
  ForkGate(const ForkGate&) = delete;
  ForkGate& operator=(const ForkGate&) = delete;

 private:
  sigset_t before_;  // the blocked signals
};

// Marks a descriptor that somebody else owns: children of fork() find it closed. It goes before the
// descriptor does.
class FdMark {
 public:
  FdMark() = default;
  FdMark(const ForkGate& gate, int fd);
  FdMark(FdMark&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), generation_(other.generation_) {}
  FdMark& operator=(FdMark&& other) noexcept;
  FdMark(const FdMark&) = delete;
  FdMark& operator=(const FdMark&) = delete;
  ~FdMark() { reset(); }

  void reset();
  void reset(const ForkGate& gate);
  // Made by a parent: the descriptor is closed in this process, its number may be another's.
  [[nodiscard]] bool inherited() const;

 private:
  int fd_ = -1;
  uint32_t generation_ = 0;
};

// Owns a descriptor that children of fork() find closed. As UniqueFd, which it can be made of; to
// leave no moment for a fork in between, make both while one ForkGate exists. Any thread.
class HeldFd {
 public:
  HeldFd() = default;
  HeldFd(const ForkGate& gate, int fd) : fd_(fd), mark_(gate, fd) {}
  HeldFd(UniqueFd fd) : HeldFd(ForkGate(), fd.release()) {}  // NOLINT(google-explicit-constructor)
  HeldFd(HeldFd&& other) noexcept = default;
  HeldFd& operator=(HeldFd&& other) noexcept;
  HeldFd(const HeldFd&) = delete;
  HeldFd& operator=(const HeldFd&) = delete;
  ~HeldFd() { reset(); }

  [[nodiscard]] int get() const { return fd_.get(); }
  [[nodiscard]] bool valid() const { return fd_.valid(); }
  explicit operator bool() const { return valid(); }
  void reset();
  // From now on the caller's, and its children's.
  int release();
  operator UniqueFd() && { return UniqueFd(release()); }  // NOLINT(google-explicit-constructor)

 private:
  UniqueFd fd_;
  FdMark mark_;
};

}  // namespace vmette::core
