#include "process_list.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "system.h"

namespace vmette::agent {
namespace {

constexpr uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD

std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

pid_t take_number(std::string_view& text) {
  pid_t value = 0;
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(static_cast<size_t>(parsed.ptr - text.data()));
  return parsed.ec == std::errc() ? value : 0;
}

}  // namespace

// "pid (name) state ppid pgrp session ..."; the name may hold anything, parentheses too.
ProcessEntry parse_process(std::string_view stat) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos || stat.size() - name_end < 4) return {};
  std::string_view rest = stat.substr(name_end + 4);
  ProcessEntry entry;
  entry.parent = take_number(rest);
  take_number(rest);
  entry.session = take_number(rest);
  entry.pid = take_number(stat);
  return entry;
}

// The flags are the sixth number behind the state.
ProcessState parse_process_state(std::string_view stat) {
  ProcessState process;
  const size_t name_begin = stat.find('(');
  const size_t name_end = stat.rfind(')');
  if (name_begin >= name_end || name_end == std::string_view::npos) return process;
  process.name = stat.substr(name_begin + 1, name_end - name_begin - 1);
  std::string_view rest = stat.substr(name_end + 1);
  const std::string_view state = take_word(rest);
  if (!state.empty()) process.state = state[0];
  for (int i = 0; i < 5; ++i) take_word(rest);
  const std::string_view flags = take_word(rest);
  uint64_t value = 0;
  std::from_chars(flags.data(), flags.data() + flags.size(), value);
  process.kernel_thread = (value & kKernelThread) != 0;
  return process;
}

std::vector<pid_t> tree_of(const std::vector<ProcessEntry>& all, pid_t leader) {
  std::vector<pid_t> tree{leader};
  const auto known = [&](pid_t pid) {
    return std::find(tree.begin(), tree.end(), pid) != tree.end();
  };
  for (bool grown = true; grown;) {
    grown = false;
    for (const ProcessEntry& entry : all) {
      if (entry.pid <= 1 || known(entry.pid)) continue;
      if (entry.session != leader && !known(entry.parent)) continue;
      tree.push_back(entry.pid);
      grown = true;
    }
  }
  return tree;
}

std::vector<ProcessEntry> list_processes(int proc) {
  std::vector<ProcessEntry> all;
  const int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
  if (entries == nullptr) return all;
  while (const dirent* entry = readdir(entries)) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
    const auto stat = read_file(fd, (std::string(entry->d_name) + "/stat").c_str());
    const ProcessEntry process = stat ? parse_process(*stat) : ProcessEntry();
    if (process.pid > 0) all.push_back(process);
  }
  closedir(entries);
  return all;
}

}  // namespace vmette::agent
