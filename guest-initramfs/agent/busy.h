// Who keeps a file system from being unmounted.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmette::agent {

struct Holder {
  pid_t pid = 0;
  std::string name;  // of its program
  dev_t device = 0;  // what it holds
  std::string how;   // "has its working directory in it"
};

// Whether a line of /proc/<pid>/maps maps a file of one of the devices, and which. Pure.
std::optional<dev_t> mapped_device(std::string_view line, const std::vector<dev_t>& devices);

// The first process that has something open, mapped or mounted of one of the devices, seen through
// a /proc directory descriptor. Asks no file system that a process of the guest may serve.
std::optional<Holder> find_holder(int proc, const std::vector<dev_t>& devices);

}  // namespace vmette::agent
