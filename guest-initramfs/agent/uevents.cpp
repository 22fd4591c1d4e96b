#include "uevents.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "system.h"

namespace vmette::agent {

Uevents::Uevents()
    : socket_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT)) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;
  if (!socket_ || bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw SetupError("devices", errno, "", "cannot listen to device events");
}

void Uevents::drain() {
  char message[8192];
  // ENOBUFS says that events were lost: the caller looks again anyway.
  while (recv(socket_.get(), message, sizeof message, 0) >= 0 || errno == ENOBUFS) {
  }
}

bool Uevents::wait_until(const std::function<bool()>& found, int timeout_ms) {
  const uint64_t end_us = uptime_us() + static_cast<uint64_t>(timeout_ms) * 1000;
  while (!found()) {
    const uint64_t now = uptime_us();
    if (now >= end_us) return false;
    pollfd ready{socket_.get(), POLLIN, 0};
    poll(&ready, 1, static_cast<int>((end_us - now + 999) / 1000));
    drain();
  }
  return true;
}

}  // namespace vmette::agent
