#include "command.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "launch.h"
#include "process_list.h"
#include "system.h"
#include "terminal.h"

namespace vmette::agent {
namespace {

constexpr size_t kMaxAccountFile = 4 * 1024 * 1024;
// As much as a pipe has by itself: a larger one only costs a busy command cache.
constexpr int kPipeBytes = 64 * 1024;

// A file that does not exist reads as an empty one. 0 or an errno.
int read_in_root(int root, const char* path, std::string& text) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  how.resolve = RESOLVE_IN_ROOT;
  const UniqueFd file(static_cast<int>(syscall(SYS_openat2, root, path, &how, sizeof how)));
  if (!file) return errno == ENOENT ? 0 : errno;
  auto content = read_fd(file.get(), kMaxAccountFile);
  if (!content) return errno;
  text = std::move(*content);
  return 0;
}

std::optional<wire::Failure> look_up_account(int root, const std::string& spec, Account& account) {
  if (spec.empty()) {
    account = root_account();
    return std::nullopt;
  }
  std::string passwd;
  std::string group;
  for (auto [path, text] : {std::pair{"/etc/passwd", &passwd}, std::pair{"/etc/group", &group}})
    if (const int error = read_in_root(root, path, *text); error != 0)
      return wire::Failure{"user", error, path,
                           "cannot read " + std::string(path) + ": " + error_text(error)};
  std::string error = find_account(spec, passwd, group, account);
  if (error.empty()) return std::nullopt;
  return wire::Failure{"user", ENOENT, spec, std::move(error)};
}

wire::Failure spawn_failure(const SpawnResult& result, const wire::Exec& request,
                            const Launch& launch) {
  const std::string why = ": " + error_text(result.error);
  const std::string& program = launch.argv[0];
  switch (result.stage) {
    case SpawnStage::kExec:
      if (launch.searched && result.error == ENOENT)
        return {"exec", ENOENT, program, "no program \"" + program + "\" in PATH"};
      return {"exec", result.error, program, "cannot run " + program + why};
    case SpawnStage::kCwd:
      return {"cwd", result.error, request.cwd, "cannot change to " + request.cwd + why};
    case SpawnStage::kUser:
      return {"user", result.error, request.user, "cannot become user " + request.user + why};
    case SpawnStage::kTerminal:
      return {"tty", result.error, "", "cannot take the terminal" + why};
    default:
      return {"spawn", result.error, "", "cannot start a process" + why};
  }
}

// prepare_process() has made the agent so.
bool is_agents_own(const Account& account) {
  return account.uid == 0 && account.gid == 0 && account.groups == std::vector<gid_t>{0};
}

uint64_t microseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1000000 + static_cast<uint64_t>(time.tv_usec);
}

}  // namespace

// The command's ends of its streams; closed once it has them.
struct Command::Ends {
  UniqueFd own[3];
  int fds[3] = {-1, -1, -1};

  void set(int index, UniqueFd fd) {
    fds[index] = fd.get();
    own[index] = std::move(fd);
  }
};

Command::Command(CommandContext& context, uint64_t stream)
    : context_(context),
      stream_(stream),
      in_(context.loop, context.control, stream),
      out_(context.loop, context.control, *this, stream, wire::Channel::kStdout),
      err_(context.loop, context.control, *this, stream, wire::Channel::kStderr) {}

Command::~Command() {
  context_.cgroups.retire(std::move(cgroup_));
}

std::optional<wire::Failure> Command::start(const wire::Exec& request) {
  const int root = context_.root.directory.get();
  Account account;
  if (auto failure = look_up_account(root, request.user, account)) return failure;
  Launch launch;
  if (std::string error = build_launch(context_.base_env, request, account, launch); !error.empty())
    return wire::Failure{"exec", EINVAL, request.argv[0], std::move(error)};
  Ends ends;
  if (const int error = open_streams(request, account.uid, ends); error != 0)
    return wire::Failure{request.tty ? "tty" : "spawn", error, "",
                         "cannot open the command's streams: " + error_text(error)};
  const SpawnResult result = spawn_with(request, account, launch, ends.fds);
  if (result.pid < 0) return spawn_failure(result, request, launch);
  pid_ = result.pid;
  context_.control.send(wire::Type::kStarted, 0, stream_,
                        encode(wire::Started{static_cast<uint32_t>(pid_), start_us_}));
  return std::nullopt;
}

SpawnResult Command::spawn_with(const wire::Exec& request, const Account& account,
                                const Launch& launch, const int (&fds)[3]) {
  cgroup_ = context_.cgroups.take();
  SpawnRequest spawning;
  spawning.launch = &launch;
  // Under emulation each system call between clone and exec can be measured: none that changes
  // nothing. Somebody else may be kept out of "/", so that is tried.
  if (!is_agents_own(account)) spawning.account = &account;
  if (spawning.account != nullptr) spawning.cwd = "/";
  if (!request.cwd.empty()) spawning.cwd = request.cwd.c_str();
  std::copy(std::begin(fds), std::end(fds), spawning.fds);
  spawning.terminal = request.tty.has_value();
  spawning.root = context_.root.needs_chroot ? context_.root.directory.get() : -1;
  spawning.cgroup = cgroup_.directory.get();
  start_us_ = uptime_us();
  return spawn(spawning);
}

int Command::open_streams(const wire::Exec& request, uid_t uid, Ends& ends) {
  stdin_wanted_ = request.in == wire::Stdio::kStream;
  for (int& fd : ends.fds) fd = context_.null_fd;
  return request.tty ? open_terminal_streams(request, uid, ends) : open_pipe_streams(request, ends);
}

// Each direction gets a descriptor of its own for the one master.
int Command::open_terminal_streams(const wire::Exec& request, uid_t uid, Ends& ends) {
  Terminal terminal = open_terminal(context_.root.directory.get(), uid, *request.tty);
  if (terminal.error != 0) return terminal.error;
  if (const int error = set_terminal_modes(terminal.slave.get(), request.echo, request.raw);
      error != 0)
    return error;
  const int master = terminal.master.get();
  UniqueFd input(fcntl(master, F_DUPFD_CLOEXEC, 3));
  terminal_.reset(fcntl(master, F_DUPFD_CLOEXEC, 3));
  if (!input || !terminal_) return errno;
  for (int& fd : ends.fds) fd = terminal.slave.get();
  ends.own[0] = std::move(terminal.slave);
  if (stdin_wanted_)
    if (const int error = in_.open(std::move(input), true); error != 0) return error;
  return out_.open(std::move(terminal.master), true, request.out == wire::Stdio::kNull);
}

int Command::open_pipe_streams(const wire::Exec& request, Ends& ends) {
  int fds[2];
  if (stdin_wanted_) {
    if (pipe2(fds, O_CLOEXEC) != 0) return errno;
    ends.set(0, UniqueFd(fds[0]));
    UniqueFd end(fds[1]);
    fcntl(end.get(), F_SETFL, O_NONBLOCK);
    if (const int error = in_.open(std::move(end), false); error != 0) return error;
  }
  for (int i = 1; i < 3; ++i) {
    if ((i == 1 ? request.out : request.err) == wire::Stdio::kNull) continue;
    if (pipe2(fds, O_CLOEXEC) != 0) return errno;
    ends.set(i, UniqueFd(fds[1]));
    UniqueFd end(fds[0]);
    fcntl(end.get(), F_SETFL, O_NONBLOCK);
    fcntl(end.get(), F_SETPIPE_SZ, kPipeBytes);
    OutputStream& stream = i == 1 ? out_ : err_;
    if (const int error = stream.open(std::move(end), false, false); error != 0) return error;
  }
  return 0;
}

bool Command::data(const wire::Frame& frame) {
  if (frame.channel() != static_cast<uint8_t>(wire::Channel::kStdin)) return false;
  return in_.receive(frame.payload, frame.eof());
}

bool Command::credit(const wire::Frame& frame) {
  const uint32_t bytes = wire::decode_credit(frame.payload);
  if (frame.channel() == static_cast<uint8_t>(wire::Channel::kStdout)) return out_.grant(bytes);
  if (frame.channel() == static_cast<uint8_t>(wire::Channel::kStderr)) return err_.grant(bytes);
  return false;
}

void Command::close(wire::Channel channel) {
  if (channel == wire::Channel::kStdin) return;
  (channel == wire::Channel::kStdout ? out_ : err_).close();
}

void Command::signal(const wire::Signal& request) {
  if (request.number < 1 || request.number > 64) return;
  if (request.scope == wire::SignalScope::kTree) {
    signal_tree(request.number);
  } else if (request.scope == wire::SignalScope::kGroup) {
    signal_group(request.number);
  } else if (!exited_) {
    kill(pid_, request.number);
  }
}

void Command::signal_group(int number) {
  const pid_t foreground = terminal_ ? foreground_group(terminal_.get()) : 0;
  if (foreground > 0) {
    kill(-foreground, number);
  } else if (!exited_) {
    kill(-pid_, number);
  } else {
    // The group may be empty by now and its number in use for another one.
    for (const pid_t pid : tree())
      if (getpgid(pid) == pid_) kill(pid, number);
  }
}

void Command::signal_tree(int number) {
  if (!exited_) kill(pid_, number);
  if (number == SIGKILL && cgroup_.valid() && kill_members(cgroup_)) return;
  for (const pid_t pid : tree())
    if (pid != pid_) kill(pid, number);
}

std::vector<pid_t> Command::tree() const {
  if (cgroup_.valid()) return members(cgroup_);
  return tree_of(list_processes(context_.root.proc.get()), pid_);
}

void Command::resize(const wire::WindowSize& size) {
  if (terminal_) resize_terminal(terminal_.get(), size);
}

void Command::exited(int status, const rusage& usage) {
  wire::Exit message;
  message.signalled = WIFSIGNALED(status);
  message.status = message.signalled ? WTERMSIG(status) : WEXITSTATUS(status);
  // A shell reports its child's SIGKILL as its own exit code.
  const bool killed =
      message.signalled ? message.status == SIGKILL : message.status == 128 + SIGKILL;
  message.oom = killed && cgroup_.valid() && had_oom_kill(cgroup_);
  message.out_bytes = out_.bytes_by_now();
  message.err_bytes = err_.bytes_by_now();
  message.wall_us = uptime_us() - start_us_;
  message.user_us = microseconds(usage.ru_utime);
  message.system_us = microseconds(usage.ru_stime);
  message.max_rss_kib = static_cast<uint64_t>(usage.ru_maxrss);
  exited_ = true;
  // What it has started and left behind reads to an end too.
  in_.end();
  if (stream_ != 0) context_.control.send(wire::Type::kExit, 0, stream_, encode(message));
  report_when_over();
}

void Command::look() {
  out_.look();
  err_.look();
}

void Command::disown() {
  stream_ = 0;
  in_.disown();
  out_.disown();
  err_.disown();
}

void Command::output_ended() {
  if (terminal_ && out_.ended()) {
    // The last master closed hangs the terminal up.
    in_.close();
    terminal_.reset();
  }
  report_when_over();
}

// Over: EXIT and every EOF that is due are on their way.
void Command::report_when_over() {
  if (!over()) return;
  // Its frames may still come before the stream is forgotten.
  in_.fall_silent();
  context_.finished->push_back(stream_);
}

}  // namespace vmette::agent
