#include "support/footprint.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace vmette_test {
namespace {

namespace fs = std::filesystem;

std::size_t entries(const char* directory) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

std::uint64_t status_kib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.compare(0, key.size(), key) == 0) return std::stoull(line.substr(key.size()));
  return 0;
}

}  // namespace

std::size_t open_descriptors() {
  return entries("/proc/self/fd") - 1;  // without the one that reads the directory
}

std::size_t threads() {
  return entries("/proc/self/task");
}

std::size_t child_processes() {
  std::size_t count = 0;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    std::ifstream children(task.path() / "children");
    count += static_cast<std::size_t>(std::distance(std::istream_iterator<std::string>(children),
                                                    std::istream_iterator<std::string>()));
  }
  return count;
}

std::uint64_t resident_kib() {
  return status_kib("VmRSS:");
}

std::uint64_t peak_kib() {
  return status_kib("VmHWM:");
}

void reset_peak_kib() {
  std::ofstream("/proc/self/clear_refs") << "5";
}

}  // namespace vmette_test
