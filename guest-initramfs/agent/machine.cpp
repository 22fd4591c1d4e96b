#include "machine.h"

#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/unique_fd.h"
#include "system.h"

namespace vmette::agent {

void set_hostname(const std::string& name) {
  if (!name.empty() && sethostname(name.data(), name.size()) != 0)
    throw SetupError("hostname", errno, name, "the kernel refused the hostname");
}

void set_clock(uint64_t realtime_ns) {
  if (realtime_ns == 0) return;
  timespec now{};
  now.tv_sec = static_cast<time_t>(realtime_ns / 1000000000);
  now.tv_nsec = static_cast<long>(realtime_ns % 1000000000);
  if (clock_settime(CLOCK_REALTIME, &now) != 0)
    throw SetupError("clock", errno, "", "the kernel refused the time");
}

void add_entropy(const std::string& bytes) {
  if (bytes.empty()) return;
  constexpr size_t kMost = 512;
  alignas(rand_pool_info) char raw[sizeof(rand_pool_info) + kMost];
  const size_t size = std::min(bytes.size(), kMost);
  auto* info = reinterpret_cast<rand_pool_info*>(raw);
  info->entropy_count = static_cast<int>(size * 8);
  info->buf_size = static_cast<int>(size);
  bytes.copy(raw + sizeof(rand_pool_info), size);
  const UniqueFd pool(open("/dev/urandom", O_WRONLY | O_CLOEXEC));
  if (!pool || ioctl(pool.get(), RNDADDENTROPY, info) != 0)
    throw SetupError("entropy", errno, "/dev/urandom", "the kernel refused the entropy");
}

void reseed_random() {
  const UniqueFd pool(open("/dev/urandom", O_WRONLY | O_CLOEXEC));
  if (!pool || ioctl(pool.get(), RNDRESEEDCRNG) != 0)
    throw SetupError("entropy", errno, "/dev/urandom", "the kernel did not reseed its generator");
}

void bring_up_loopback() {
  const UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!any) return;
  ifreq request{};
  std::string_view("lo").copy(request.ifr_name, sizeof request.ifr_name - 1);
  if (ioctl(any.get(), SIOCGIFFLAGS, &request) != 0) return;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  ioctl(any.get(), SIOCSIFFLAGS, &request);
}

}  // namespace vmette::agent
