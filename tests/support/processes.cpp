#include "support/processes.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace vmette_test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOwnMark = "VMETTE_TEST_OWNER";

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string proc(pid_t pid, const char* file) {
  return read_file(fs::path("/proc") / std::to_string(pid) / file);
}

std::vector<pid_t> all_pids() {
  std::vector<pid_t> pids;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(name[0])) != 0) pids.push_back(std::stoi(name));
  }
  return pids;
}

// The fields of /proc/PID/stat from the third on; the second may hold anything.
std::vector<std::string> stat_fields(pid_t pid) {
  const std::string stat = proc(pid, "stat");
  const auto name_end = stat.rfind(')');
  if (name_end == std::string::npos) return {};
  std::istringstream rest(stat.substr(name_end + 1));
  return {std::istream_iterator<std::string>(rest), {}};
}

pid_t parent_of(pid_t pid) {
  const auto fields = stat_fields(pid);
  return fields.size() > 1 ? std::stoi(fields[1]) : 0;
}

bool is_helper(pid_t pid) {
  return proc(pid, "comm") == "vmette-vmm\n";
}

}  // namespace

Watched::Watched(pid_t pid)
    : pid_(pid), fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U))) {}

bool Watched::wait_end(std::chrono::milliseconds deadline) const {
  if (!fd_) return true;
  pollfd item{fd_.get(), POLLIN, 0};
  return ::poll(&item, 1, static_cast<int>(deadline.count())) == 1;
}

void Watched::signal(int number) const {
  if (fd_) ::syscall(SYS_pidfd_send_signal, fd_.get(), number, nullptr, 0U);
}

std::vector<Watched> helpers_marked(const std::string& variable, const std::string& value) {
  const std::string wanted = '\0' + variable + '=' + value + '\0';
  std::vector<Watched> found;
  for (const pid_t pid : all_pids()) {
    // Held first, so that it is this process that is looked at.
    Watched process(pid);
    // A helper's child looks like it until its exec.
    if (!is_helper(pid) || is_helper(parent_of(pid))) continue;
    if (('\0' + proc(pid, "environ")).find(wanted) != std::string::npos && !process.has_ended())
      found.push_back(std::move(process));
  }
  return found;
}

void mark_helpers() {
  ::setenv(kOwnMark, std::to_string(::getpid()).c_str(), 1);
}

std::vector<Watched> own_helpers() {
  return helpers_marked(kOwnMark, std::to_string(::getpid()));
}

std::vector<Watched> children_of(pid_t pid) {
  std::vector<Watched> found;
  for (const pid_t candidate : all_pids())
    if (parent_of(candidate) == pid) found.emplace_back(candidate);
  return found;
}

uint64_t rss_kib(pid_t pid) {
  std::istringstream status(proc(pid, "status"));
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmRSS:", 0) == 0) return std::stoull(line.substr(6));
  return 0;
}

std::chrono::milliseconds cpu_time(pid_t pid) {
  constexpr size_t kUserTicks = 11;
  const auto fields = stat_fields(pid);
  if (fields.size() <= kUserTicks + 1) return {};
  const auto ticks = std::stoll(fields[kUserTicks]) + std::stoll(fields[kUserTicks + 1]);
  return std::chrono::milliseconds(ticks * 1000 / ::sysconf(_SC_CLK_TCK));
}

std::vector<std::string> open_files(pid_t pid) {
  std::vector<std::string> targets;
  std::error_code ignored;
  const fs::path directory = fs::path("/proc") / std::to_string(pid) / "fd";
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const fs::path target = fs::read_symlink(entry.path(), ignored);
    if (!target.empty()) targets.push_back(target);
  }
  return targets;
}

}  // namespace vmette_test
