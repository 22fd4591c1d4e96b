// A host program that forks without exec while it has machines.
//   forker handles   a child uses and frees what its parent has
//   forker fresh     a child starts a machine of its own beside its parent's
//   forker quiet     a child that does nothing outlives all that its parent has; its pid is printed
// Prints what is wrong, one line each, then "done".
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vmette.hpp>

namespace {

using vmette::ErrorCode;
using vmette::Session;

int complaints = 0;

void complain(const std::string& what) {
  std::printf("pid %d: %s\n", static_cast<int>(getpid()), what.c_str());
  std::fflush(stdout);
  ++complaints;
}

void expect(bool holds, const char* what) {
  if (!holds) complain(what);
}
#define EXPECT(condition) expect(condition, #condition)

template <class T>
T must(vmette::result<T> result, const char* what) {
  if (!result) {
    complain(std::string(what) + ": " + std::string(result.error().message()));
    _exit(1);
  }
  return std::move(result).value();
}
#define MUST(call) must(call, #call)

template <class T>
void refused(const vmette::result<T>& result, const char* what) {
  if (result) return complain(std::string(what) + ": it worked");
  const std::string message(result.error().message());
  if (result.error().code() != ErrorCode::kState || message.find("child of fork()") == message.npos)
    complain(std::string(what) + ": " + message);
}
#define REFUSED(call) refused(call, #call)

vmette::Config small() {
  vmette::Config config;
  config.set_mem_mib(192);
  return config;
}

Session booted() {
  Session session = MUST(Session::create(small()));
  MUST(session.start());
  return session;
}

std::string echoed(Session& session) {
  const vmette::Process process = MUST(session.exec(vmette::Exec("echo alive")));
  MUST(process.wait());
  return std::string(MUST(process.output()).stdout_text());
}

int wait_for(pid_t child) {
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// One handle of each kind.
struct Things {
  Session session = booted();
  Session unstarted = MUST(Session::create(small()));
  vmette::Process cat = [this] {
    vmette::Exec exec("cat");
    exec.set_stdin(vmette::Stdio::kPipe).set_stdout(vmette::Stdio::kPipe);
    return MUST(session.exec(exec));
  }();
  vmette::Call<vmette::Stats> call = MUST(session.begin_stats());
  vmette::Transfer transfer = MUST(session.open_write("/tmp/written"));
  vmette::Pool pool = MUST(vmette::Pool::create(small()));
};

void use_session(Session& session) {
  REFUSED(session.start());
  REFUSED(session.launch());
  REFUSED(session.wait_ready());
  REFUSED(session.wait());
  REFUSED(session.stop(0));
  REFUSED(session.kill());
  REFUSED(session.request_stop(0));
  REFUSED(session.request_kill());
  REFUSED(session.pause());
  REFUSED(session.unpause());
  REFUSED(session.output());
  REFUSED(session.console());
  REFUSED(session.exec(vmette::Exec("true")));
  REFUSED(session.stats());
  REFUSED(session.begin_stats());
  REFUSED(session.write_file("/tmp/f", "x"));
  REFUSED(session.open_read("/etc/passwd"));
  REFUSED(session.copy_in("/etc/passwd", "/tmp/f"));
  REFUSED(session.copy_out("/etc", "/nowhere"));
  REFUSED(session.snapshot("/nowhere/snapshot"));
  REFUSED(session.fork(1));
  EXPECT(session.state() == vmette::State::kCreated);
  EXPECT(session.end() == vmette::End::kNone && session.exit_code() == -1);
  EXPECT(session.end_message().empty() && session.cmdline().empty());
  EXPECT(session.ready_fd() == -1 && session.end_fd() == -1 && session.timeline_count() == 0);
}

void use(Things& things) {
  use_session(things.session);
  use_session(things.unstarted);
  vmette::Process& cat = things.cat;
  REFUSED(cat.wait_started());
  REFUSED(cat.wait());
  REFUSED(cat.signal(1));
  REFUSED(cat.kill());
  REFUSED(cat.resize(1, 1));
  REFUSED(cat.output());
  EXPECT(!cat.ended() && cat.exit_code() == -1 && cat.pid() == 0 && cat.end_message().empty());
  EXPECT(cat.started_fd() == -1 && cat.complete_fd() == -1);
  EXPECT(cat.exit_fd() == -1 && cat.fd(vmette::Stream::kStdin) == -1);
  REFUSED(things.call.wait());
  REFUSED(things.call.take());
  things.call.cancel();
  EXPECT(things.call.done_fd() == -1);
  REFUSED(things.transfer.wait());
  things.transfer.cancel();
  things.transfer.close_fd();
  EXPECT(things.transfer.fd() == -1 && things.transfer.done_fd() == -1);
  REFUSED(things.pool.take());
  REFUSED(things.pool.request());
  REFUSED(things.pool.close());
  REFUSED(things.pool.count());
}

// What a child does, which then ends as any program does.
[[noreturn]] void use_and_end(std::optional<Things>& things) {
  use(*things);
  things.reset();
  std::exit(complaints);  // NOLINT(concurrency-mt-unsafe): its only thread
}

// Children are made while other threads hold the library's locks, now this one and now that.
int handles() {
  std::optional<Things> things(std::in_place);
  std::atomic<bool> over{false};
  std::thread getter([&] {
    while (!over) (void)things->session.state();
  });
  std::thread asker([&] {
    while (!over) (void)things->session.exists("/");
  });
  constexpr int kChildren = 50;
  for (int i = 0; i < kChildren; ++i) {
    const pid_t child = fork();
    if (child == 0) use_and_end(things);
    EXPECT(wait_for(child) == 0);
  }
  over = true;
  getter.join();
  asker.join();
  // The parent's things are what they were.
  EXPECT(echoed(things->session) == "alive\n");
  const char byte = 'x';
  char back = 0;
  EXPECT(write(things->cat.fd(vmette::Stream::kStdin), &byte, 1) == 1);
  EXPECT(read(things->cat.fd(vmette::Stream::kStdout), &back, 1) == 1 && back == byte);
  EXPECT(write(things->transfer.fd(), &byte, 1) == 1);
  things->transfer.close_fd();
  MUST(things->transfer.wait());
  MUST(things->call.wait());
  return complaints;
}

int fresh() {
  Session session = booted();
  const pid_t child = fork();
  if (child == 0) {
    Session own = booted();
    EXPECT(echoed(own) == "alive\n");
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      REFUSED(session.kill());
      REFUSED(own.kill());
      Session third = booted();
      EXPECT(echoed(third) == "alive\n");
      return complaints;
    }
    EXPECT(wait_for(grandchild) == 0);
    EXPECT(echoed(own) == "alive\n");
    MUST(own.stop(0));
    return complaints;
  }
  EXPECT(wait_for(child) == 0);
  EXPECT(echoed(session) == "alive\n");
  return complaints;
}

int quiet() {
  pid_t child = -1;
  {
    Things things;
    child = fork();
    if (child == 0) {
      char byte = 0;
      while (read(STDIN_FILENO, &byte, 1) > 0) {
      }
      _exit(0);
    }
    // The ends that the child would keep open are those that each waits for here.
    char byte = 0;
    things.cat.close_fd(vmette::Stream::kStdin);
    EXPECT(read(things.cat.fd(vmette::Stream::kStdout), &byte, 1) == 0);
    MUST(things.cat.wait());
    things.transfer.close_fd();
    MUST(things.transfer.wait());
  }
  std::printf("child %d\n", static_cast<int>(child));
  return complaints;
}

}  // namespace

int main(int argc, char** argv) {
  const pid_t parent = getpid();
  const std::string mode = argc == 2 ? argv[1] : "";
  const int wrong = mode == "handles" ? handles()
                    : mode == "fresh" ? fresh()
                    : mode == "quiet" ? quiet()
                                      : 1;
  if (getpid() != parent) return wrong;
  std::puts(wrong == 0 ? "done" : "wrong");
  std::fflush(stdout);
  // The test ends it by closing stdin.
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return wrong;
}
