#include "support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <system_error>

extern char** environ;

namespace vmette_test {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::pair<vmette::UniqueFd, vmette::UniqueFd> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) fail("pipe2");
  return {vmette::UniqueFd(fds[0]), vmette::UniqueFd(fds[1])};
}

void set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) fail("fcntl");
}

std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    const auto equals = text.find('=');
    if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [key, value] : added) variables[key] = value;
  std::vector<std::string> lines;
  for (const auto& [key, value] : variables) lines.push_back(key + "=" + value);
  return lines;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& text : strings) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

Program::Program(const std::vector<std::string>& argv, const ProgramOptions& options) {
  // A program that ends with bytes still queued for it must not end the test.
  ::signal(SIGPIPE, SIG_IGN);
  if (options.terminal) {
    open_terminal(options);
  } else {
    open_pipes();
  }
  start(argv, options);
}

Program::~Program() {
  if (ended_ || pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  reap();
}

void Program::open_pipes() {
  std::tie(child_in_, in_fd_) = make_pipe();
  std::tie(out_fd_, child_out_) = make_pipe();
  std::tie(err_fd_, child_err_) = make_pipe();
  for (const int fd : {in_fd_.get(), out_fd_.get(), err_fd_.get()}) set_nonblocking(fd);
}

void Program::open_terminal(const ProgramOptions& options) {
  int master = -1;
  int slave = -1;
  winsize size{};
  size.ws_row = options.rows;
  size.ws_col = options.columns;
  if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) fail("openpty");
  in_fd_.reset(master);
  child_in_.reset(slave);
  for (const int fd : {master, slave}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  out_fd_.reset(::fcntl(master, F_DUPFD_CLOEXEC, 0));
  if (!out_fd_) fail("dup");
  set_nonblocking(master);
}

void Program::start(const std::vector<std::string>& argv, const ProgramOptions& options) {
  const auto lines = environment_with(options.env);
  const auto env = pointers(lines);
  const auto words = pointers(argv);
  pid_ = ::fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) become(words.data(), env.data(), options);
  pid_fd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pid_fd_) fail("pidfd_open");
  if (!options.terminal) child_in_.reset();
  child_out_.reset();
  child_err_.reset();
}

void Program::become(char* const* argv, char* const* env, const ProgramOptions& options) {
  const int in = child_in_.get();
  const int out = child_out_ ? child_out_.get() : in;
  const int err = child_err_ ? child_err_.get() : in;
  if (options.terminal && (::setsid() < 0 || ::ioctl(in, TIOCSCTTY, 0) != 0)) ::_exit(126);
  if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) ::_exit(126);
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(126);
  ::signal(SIGPIPE, SIG_DFL);
  ::execvpe(argv[0], argv, env);
  ::_exit(127);
}

void Program::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}

bool Program::drain(vmette::UniqueFd& fd, std::string& text) {
  std::array<char, 65536> buffer;
  bool any = false;
  while (fd) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count > 0) {
      text.append(buffer.data(), static_cast<std::size_t>(count));
      any = true;
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      fd.reset();
    } else if (errno == EAGAIN) {
      break;
    }
  }
  return any;
}

void Program::feed() {
  while (in_fd_ && !pending_.empty()) {
    const ssize_t count = ::write(in_fd_.get(), pending_.data(), pending_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) pending_.clear();
    pending_.erase(0, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  if (close_input_ && pending_.empty()) in_fd_.reset();
}

void Program::pump_once(int timeout_ms) {
  feed();
  std::array<pollfd, 4> fds{{{out_fd_.get(), POLLIN, 0},
                             {err_fd_.get(), POLLIN, 0},
                             {pending_.empty() ? -1 : in_fd_.get(), POLLOUT, 0},
                             {ended_ ? -1 : pid_fd_.get(), POLLIN, 0}}};
  if (::poll(fds.data(), fds.size(), timeout_ms) < 0 && errno != EINTR) fail("poll");
  const bool over = (fds[3].revents & POLLIN) != 0;
  drain(out_fd_, out_);
  drain(err_fd_, err_);
  if (over) reap();
}

template <class Done>
bool Program::pump(Clock::time_point deadline, Done done) {
  while (!done() && !ended_) {
    const auto left = std::chrono::duration_cast<Milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pump_once(static_cast<int>(left) + 1);
  }
  return true;
}

bool Program::wait_for(std::string_view text, Milliseconds deadline) {
  const auto find = [&] { return out_.find(text, matched_); };
  pump(Clock::now() + deadline, [&] { return find() != std::string::npos; });
  const auto at = find();
  if (at == std::string::npos) return false;
  matched_ = at + text.size();
  return true;
}

bool Program::wait_for_error(std::string_view text, Milliseconds deadline) {
  const auto found = [&] { return err_.find(text) != std::string::npos; };
  pump(Clock::now() + deadline, found);
  return found();
}

Ending Program::wait(Milliseconds deadline) {
  if (err_fd_) close_input_ = true;
  const bool in_time = pump(Clock::now() + deadline, [] { return false; });
  if (!in_time) {
    ::kill(pid_, SIGKILL);
    reap();
  }
  return {!in_time, code_, out_, err_};
}

void Program::reap() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  ended_ = true;
  code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  drain(out_fd_, out_);
  drain(err_fd_, err_);
}

termios Program::terminal_settings() const {
  termios settings{};
  if (::tcgetattr(child_in_.get(), &settings) != 0) fail("tcgetattr");
  return settings;
}

void Program::resize(unsigned short rows, unsigned short columns) const {
  winsize size{};
  size.ws_row = rows;
  size.ws_col = columns;
  if (::ioctl(child_in_.get(), TIOCSWINSZ, &size) != 0) fail("TIOCSWINSZ");
}

Ending run_program(const std::vector<std::string>& argv, std::string_view input,
                   const ProgramOptions& options, Program::Milliseconds deadline) {
  Program program(argv, options);
  program.write(input);
  return program.wait(deadline);
}

}  // namespace vmette_test
