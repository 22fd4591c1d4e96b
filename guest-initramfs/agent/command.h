// One command: its leading process, its streams and what is still owed to the host about them.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "cgroups.h"
#include "control.h"
#include "input_stream.h"
#include "loop.h"
#include "output_stream.h"
#include "root_fs.h"
#include "spawn.h"
#include "wire/messages.h"

namespace vmette::agent {

// What every command needs of the agent; outlives them all.
struct CommandContext {
  Loop& loop;
  ControlStream& control;
  const RootFs& root;
  Cgroups& cgroups;
  const wire::EnvList& base_env;
  int null_fd;                      // /dev/null
  std::vector<uint64_t>* finished;  // streams over since the last sweep
};

class Command final : private StreamOwner {
 public:
  Command(CommandContext& context, uint64_t stream);
  ~Command();

  // Starts the process. Nothing when it runs, else why not; then the command is to be destroyed.
  std::optional<wire::Failure> start(const wire::Exec& request);

  // Frames of this stream; false when the frame breaks the protocol.
  [[nodiscard]] bool data(const wire::Frame& frame);
  [[nodiscard]] bool credit(const wire::Frame& frame);
  void close(wire::Channel channel);
  void signal(const wire::Signal& request);
  void resize(const wire::WindowSize& size);

  // The leading process has been reaped: sends EXIT.
  void exited(int status, const rusage& usage);
  // Has all output looked for that is there.
  void look();
  // The host that started it is gone: it lives on, and nothing is ever sent about it.
  void disown();
  [[nodiscard]] bool over() const { return exited_ && out_.ended() && err_.ended(); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  // 0 once it is disowned.
  [[nodiscard]] uint64_t stream() const { return stream_; }

 private:
  struct Ends;

  SpawnResult spawn_with(const wire::Exec& request, const Account& account, const Launch& launch,
                         const int (&fds)[3]);
  int open_streams(const wire::Exec& request, uid_t uid, Ends& ends);
  int open_terminal_streams(const wire::Exec& request, uid_t uid, Ends& ends);
  int open_pipe_streams(const wire::Exec& request, Ends& ends);
  int open_output(OutputStream& stream, UniqueFd& end);
  void signal_group(int number);
  void signal_tree(int number);
  [[nodiscard]] std::vector<pid_t> tree() const;
  void output_ended() override;
  void report_when_over();

  CommandContext& context_;
  uint64_t stream_;
  pid_t pid_ = -1;
  bool exited_ = false;
  bool stdin_wanted_ = false;
  uint64_t start_us_ = 0;
  Cgroup cgroup_;
  UniqueFd terminal_;  // the master once more, for size and foreground group; closed with stdout
  InputStream in_;
  OutputStream out_;
  OutputStream err_;
};

}  // namespace vmette::agent
