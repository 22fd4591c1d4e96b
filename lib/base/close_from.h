#pragma once

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace vmette {

// Closes every descriptor from `first` up, whoever opened it. Async-signal-safe.
inline void close_from(int first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, static_cast<unsigned>(first), UINT_MAX, 0U) == 0) return;
#endif
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t end = std::min<rlim_t>(limit.rlim_cur, rlim_t{1} << 20);
  for (int fd = first; fd < static_cast<int>(end); ++fd) ::close(fd);
}

}  // namespace vmette
