#include "commands.h"

#include <sys/wait.h>

#include <cerrno>

namespace vmette::agent {

Commands::Commands(CommandContext context) : context_(context) {
  context_.finished = &finished_;
}

bool Commands::exec(uint64_t stream, const wire::Exec& request) {
  if (by_stream_.size() >= kMaxOpen) return false;
  auto command = std::make_unique<Command>(context_, stream);
  if (const auto failure = command->start(request)) {
    context_.control.send(wire::Type::kError, 0, stream, encode(*failure));
    return true;
  }
  by_pid_[command->pid()] = command.get();
  by_stream_[stream] = std::move(command);
  return true;
}

Command* Commands::find(uint64_t stream) {
  const auto found = by_stream_.find(stream);
  return found == by_stream_.end() ? nullptr : found->second.get();
}

bool Commands::reap() {
  while (true) {
    int status = 0;
    rusage usage{};
    const pid_t pid = wait4(-1, &status, WNOHANG | __WALL, &usage);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return pid < 0;
    const auto found = by_pid_.find(pid);
    if (found == by_pid_.end()) continue;
    Command* command = found->second;
    by_pid_.erase(found);
    command->exited(status, usage);
  }
}

void Commands::look() {
  for (const auto& [stream, command] : by_stream_) command->look();
}

void Commands::disown() {
  sweep();
  for (auto& [stream, command] : by_stream_) {
    command->disown();
    disowned_.push_back(std::move(command));
  }
  by_stream_.clear();
}

void Commands::sweep() {
  if (finished_.empty()) return;
  for (const uint64_t stream : finished_) by_stream_.erase(stream);
  std::erase_if(disowned_, [](const auto& command) { return command->over(); });
  finished_.clear();
  context_.cgroups.tidy();
}

}  // namespace vmette::agent
