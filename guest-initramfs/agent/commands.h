// All commands of the machine, by stream and by process.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "command.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette::agent {

class Commands {
 public:
  // Streams open at once; the host knows the number too.
  static constexpr size_t kMaxOpen = 4096;

  explicit Commands(CommandContext context);

  // Answers STARTED or ERROR on the stream. False: the host opens more than it may.
  [[nodiscard]] bool exec(uint64_t stream, const wire::Exec& request);

  // The command of an open stream, or null.
  Command* find(uint64_t stream);

  // Collects every process that has ended, orphans included. True when none is left at all.
  bool reap();

  // Has all output looked for that is there, reported or not.
  void look();
  // The host that started them is gone: they live on, and nothing is ever sent about them. Streams
  // begin anew.
  void disown();

  // Forgets the commands of which nothing is left to say; between turns of the loop, after output
  // has been written.
  void sweep();

 private:
  CommandContext context_;
  std::vector<uint64_t> finished_;
  std::unordered_map<uint64_t, std::unique_ptr<Command>> by_stream_;
  std::unordered_map<pid_t, Command*> by_pid_;  // running leading processes
  std::vector<std::unique_ptr<Command>> disowned_;
};

}  // namespace vmette::agent
