#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <thread>

#include "base/unique_fd.h"

namespace vmette::vmm {

// Thrown by work that saw that it is not wanted any more.
struct Cancelled {};

// Blocking work on a thread of its own, beside the event loop. It starts no process: what the
// kernel ends with its parent would end with this thread.
class Worker {
 public:
  using Work = std::function<void(const std::atomic<bool>& cancelled)>;

  // Throws std::system_error.
  explicit Worker(Work work);
  // Cancels the work and waits for its end.
  ~Worker();
  Worker(Worker&&) = delete;
  Worker& operator=(Worker&&) = delete;

  // Readable once the work has ended; -1 after finish() has said so.
  [[nodiscard]] int fd() const { return done_.get(); }
  void cancel() { cancelled_ = true; }
  // Whether the work has ended; from then on error() tells what it threw.
  bool finish();
  [[nodiscard]] const std::exception_ptr& error() const { return error_; }

 private:
  UniqueFd done_;
  std::atomic<bool> cancelled_ = false;
  std::exception_ptr error_;  // the thread's until it has been joined
  std::thread thread_;
};

}  // namespace vmette::vmm
