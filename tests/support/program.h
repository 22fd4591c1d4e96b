#pragma once

#include <sys/types.h>
#include <termios.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace vmette_test {

// How a program ended, and everything it printed.
struct Ending {
  bool timed_out = false;  // it was killed because the deadline passed
  int code = -1;           // exit code, 128+n when signal n ended it
  std::string out;         // stdout; with a terminal, all that came out of it
  std::string err;         // stderr; empty with a terminal
};

struct ProgramOptions {
  // Added to the caller's environment; of two with one key the later counts.
  std::vector<std::pair<std::string, std::string>> env;
  std::string directory;  // empty: the caller's
  // stdin, stdout and stderr are a new controlling terminal instead of three pipes.
  bool terminal = false;
  // The terminal's size.
  unsigned short rows = 24;
  unsigned short columns = 80;
};

// A program under test, spoken to over pipes or a terminal. Every wait has a deadline, so a test
// cannot hang. Destruction kills the program if it still runs and reaps it. One thread.
class Program {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kDeadline{60'000};

  // Starts `argv`; argv[0] is looked up in PATH. Throws std::system_error.
  explicit Program(const std::vector<std::string>& argv, const ProgramOptions& options = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

  // Queues bytes for the program's stdin; they are written while another method waits.
  void write(std::string_view bytes) { pending_.append(bytes); }
  // EOF on stdin after what is queued. Pipes only.
  void close_input() { close_input_ = true; }
  // Closes the read end of the program's stdout, so that its next write fails. Pipes only.
  void close_output() { out_fd_.reset(); }
  void signal(int number) const;

  // Waits until `text` has come on stdout (or the terminal) after the previous match. False when
  // the deadline passes or the program ends without it.
  bool wait_for(std::string_view text, Milliseconds deadline = kDeadline);
  // The same on stderr, from its beginning.
  bool wait_for_error(std::string_view text, Milliseconds deadline = kDeadline);
  // Closes stdin after what is queued (pipes), waits for the end and returns it; past the deadline
  // the program is killed and `timed_out` set.
  Ending wait(Milliseconds deadline = kDeadline);

  // What has been read so far.
  [[nodiscard]] const std::string& out() const { return out_; }
  [[nodiscard]] const std::string& err() const { return err_; }

  // The terminal's settings as any program on it sees them.
  [[nodiscard]] termios terminal_settings() const;
  // Changes the terminal's size; the program gets SIGWINCH.
  void resize(unsigned short rows, unsigned short columns) const;

 private:
  using Clock = std::chrono::steady_clock;

  void open_pipes();
  void open_terminal(const ProgramOptions& options);
  void start(const std::vector<std::string>& argv, const ProgramOptions& options);
  [[noreturn]] void become(char* const* argv, char* const* env, const ProgramOptions& options);
  // Moves bytes until `done()`, the program's end or the deadline. False at the deadline.
  template <class Done>
  bool pump(Clock::time_point deadline, Done done);
  void pump_once(int timeout_ms);
  void feed();
  static bool drain(vmette::UniqueFd& fd, std::string& text);
  void reap();

  pid_t pid_ = -1;
  vmette::UniqueFd pid_fd_;
  vmette::UniqueFd in_fd_;   // the program's stdin, with a terminal its master
  vmette::UniqueFd out_fd_;  // with a terminal a second descriptor of the master
  vmette::UniqueFd err_fd_;
  // The program's ends; with a terminal child_in_ stays open here, so that its settings outlive
  // the program.
  vmette::UniqueFd child_in_;
  vmette::UniqueFd child_out_;
  vmette::UniqueFd child_err_;
  std::string pending_;
  bool close_input_ = false;
  bool ended_ = false;
  int code_ = -1;
  std::string out_;
  std::string err_;
  std::size_t matched_ = 0;  // where the previous match on stdout ended
};

// Starts a program, gives it `input`, and waits for its end.
Ending run_program(const std::vector<std::string>& argv, std::string_view input = {},
                   const ProgramOptions& options = {},
                   Program::Milliseconds deadline = Program::kDeadline);

}  // namespace vmette_test
