#include "core/fork_guard.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace vmette::core {
namespace {

// Linux's own limit unless somebody raises it; what is above goes unmarked.
constexpr int kMostFds = 1 << 20;
constexpr int kBits = 64;

std::mutex g_gate;
// Guarded by g_gate: one bit for each marked descriptor, and the words that have ever had one.
uint64_t g_marked[kMostFds / kBits];
int g_words = 0;

std::atomic<uint32_t> g_generation{0};

uint64_t bit_of(int fd) {
  return uint64_t{1} << (fd % kBits);
}

bool can_be_marked(int fd) {
  return fd >= 0 && fd < kMostFds;
}

void before_fork() {
  g_gate.lock();
}

void in_parent() {
  g_gate.unlock();
}

// The other threads are gone and may have left any lock behind but the gate: system calls only.
void in_child() {
  for (int word = 0; word < g_words; ++word) {
    for (int bit = 0; g_marked[word] != 0 && bit < kBits; ++bit) {
      const int fd = word * kBits + bit;
      if ((g_marked[word] & bit_of(fd)) == 0) continue;
      ::close(fd);
      g_marked[word] &= ~bit_of(fd);
    }
  }
  g_generation.fetch_add(1);
  g_gate.unlock();
}

// Before main(), so that no thread can fork while it happens.
const int g_status = pthread_atfork(before_fork, in_parent, in_child);

}  // namespace

uint32_t fork_generation() {
  return g_generation.load(std::memory_order_relaxed);
}

int fork_guard_status() {
  return g_status;
}

ForkGate::ForkGate() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before_);
  g_gate.lock();
}

ForkGate::~ForkGate() {
  g_gate.unlock();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

FdMark::FdMark(const ForkGate& /*gate*/, int fd) : generation_(fork_generation()) {
  if (!can_be_marked(fd)) return;
  fd_ = fd;
  g_marked[fd / kBits] |= bit_of(fd);
  g_words = std::max(g_words, fd / kBits + 1);
}

FdMark& FdMark::operator=(FdMark&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
    generation_ = other.generation_;
  }
  return *this;
}

bool FdMark::inherited() const {
  return fd_ >= 0 && generation_ != fork_generation();
}

void FdMark::reset() {
  if (fd_ >= 0) reset(ForkGate());
}

void FdMark::reset(const ForkGate& /*gate*/) {
  if (fd_ >= 0 && !inherited()) g_marked[fd_ / kBits] &= ~bit_of(fd_);
  fd_ = -1;
}

HeldFd& HeldFd::operator=(HeldFd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::move(other.fd_);
    mark_ = std::move(other.mark_);
  }
  return *this;
}

void HeldFd::reset() {
  if (!fd_) return;
  if (mark_.inherited()) (void)fd_.release();
  const ForkGate gate;
  mark_.reset(gate);
  fd_.reset();
}

int HeldFd::release() {
  if (mark_.inherited()) (void)fd_.release();
  mark_.reset();
  return fd_.release();
}

}  // namespace vmette::core
