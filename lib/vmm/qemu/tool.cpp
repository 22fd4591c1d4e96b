#include "vmm/qemu/tool.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"

namespace vmette::vmm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kMaxOutput = 4096;
// A program that has closed its output has little left to do.
constexpr milliseconds kReapPause{1};

// False when the time was over first.
bool read_to_end(int fd, Clock::time_point end, std::string& output) {
  std::array<char, 1024> bytes{};
  while (true) {
    pollfd item{fd, POLLIN, 0};
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
    if (left <= 0 || poll(&item, 1, static_cast<int>(left)) == 0) return false;
    const ssize_t count = read(fd, bytes.data(), bytes.size());
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return true;
    if (count > 0)
      output.append(bytes.data(), std::min(static_cast<size_t>(count), kMaxOutput - output.size()));
  }
}

}  // namespace

ToolEnd run_tool(ChildPlan plan, milliseconds most) {
  const auto end = Clock::now() + most;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw std::system_error(errno, std::generic_category(), "pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  plan.out = writer.get();
  Child child(plan);
  writer.reset();

  ToolEnd result;
  if (!read_to_end(reader.get(), end, result.output)) return result;
  std::optional<int> status;
  while (!(status = child.reap()) && Clock::now() < end)
    poll(nullptr, 0, static_cast<int>(kReapPause.count()));
  result.in_time = status.has_value();
  result.status = status.value_or(0);
  return result;
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const size_t newline = text.rfind('\n');
  return newline == std::string::npos ? text : text.substr(newline + 1);
}

}  // namespace vmette::vmm
