// What a test sees of other processes through /proc: its machines' helpers and hypervisors among
// them. Linux only.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vmette_test {

// A process held by its pidfd, so that a recycled pid is never taken for it.
class Watched {
 public:
  explicit Watched(pid_t pid);  // has_ended() at once when there is no such process

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool has_ended() const { return wait_end(std::chrono::milliseconds(0)); }
  // False when it still runs after `deadline`.
  [[nodiscard]] bool wait_end(std::chrono::milliseconds deadline) const;
  void signal(int number) const;

 private:
  pid_t pid_;
  vmette::UniqueFd fd_;
};

// Every vmette-vmm that has this variable with this value in its environment. A helper is nobody's
// child, so this is how a test finds its own.
std::vector<Watched> helpers_marked(const std::string& variable, const std::string& value);
// Every vmette-vmm started by this process, which must have called mark_helpers() before.
std::vector<Watched> own_helpers();
void mark_helpers();

std::vector<Watched> children_of(pid_t pid);

// Resident memory. 0 when there is no such process.
uint64_t rss_kib(pid_t pid);
// CPU time so far, of all threads.
std::chrono::milliseconds cpu_time(pid_t pid);
// What its descriptors point to, as /proc says it: a path, or "pipe:[1]", "anon_inode:[eventfd]".
std::vector<std::string> open_files(pid_t pid);

}  // namespace vmette_test
