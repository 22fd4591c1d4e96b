// Random operations on live sessions from several threads: commands of every kind, their streams,
// signals, sizes, timeouts, and the session paused, resumed and at last killed under them. Stops at
// the first thing that is not as it should be.
//   soak_live SECONDS [SEED]
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>
#include <vmette.hpp>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using vmette::Exec;
using vmette::Process;
using vmette::Session;
using vmette::Stream;

// Past anything that a slow host takes: reaching it is a hang.
constexpr milliseconds kHang{180'000};
constexpr std::chrono::seconds kRound{10};
constexpr int kWorkers = 4;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "soak_live: %s\n", what.c_str());
  std::_Exit(1);
}

// The session of a round. Once `ending` is set, whatever asks for it may hear that it has ended.
struct Live {
  Session session;
  std::atomic<bool> ending{false};
  std::atomic<unsigned> done{0};
};

class Worker {
 public:
  Worker(Live& live, unsigned seed) : live_(live), random_(seed) {}

  void run() {
    using Operation = void (Worker::*)();
    constexpr Operation kOperations[] = {
        &Worker::captured,  &Worker::through_cat, &Worker::signalled, &Worker::terminal,
        &Worker::timed_out, &Worker::dropped,     &Worker::refused,   &Worker::cut_short};
    while (!live_.ending) {
      (this->*kOperations[below(std::size(kOperations))])();
      ++live_.done;
    }
  }

 private:
  size_t below(size_t limit) { return random_() % limit; }

  // False when the session has ended meanwhile, as it may.
  template <class T>
  bool holds(const vmette::result<T>& result, const char* what) {
    if (result) return true;
    if (!live_.ending) fail(std::string(what) + ": " + std::string(result.error().message()));
    return false;
  }
  void expect(bool holds, const std::string& what) const {
    if (!holds && !live_.ending) fail(what);
  }

  bool waited(const Process& process, const char* what) { return holds(process.wait(kHang), what); }

  void captured() {
    const std::string token = std::to_string(random_());
    const auto process = live_.session.exec(Exec(std::vector<std::string>{"/bin/echo", token}));
    if (!holds(process, "echo") || !waited(process.value(), "echo")) return;
    const auto output = process.value().output();
    if (holds(output, "echo"))
      expect(output.value().stdout_text() == token + "\n", "echo printed something else");
  }

  // Bytes through `cat` and back, both ends at once.
  void through_cat() {
    Exec exec(std::vector<std::string>{"/bin/cat"});
    exec.set_stdin(vmette::Stdio::kPipe).set_stdout(vmette::Stdio::kPipe);
    auto made = live_.session.exec(exec);
    if (!holds(made, "cat")) return;
    Process& process = made.value();
    fcntl(process.fd(Stream::kStdin), F_SETFL, O_NONBLOCK);
    std::string sent(below(400'000), '\0');
    for (char& byte : sent) byte = static_cast<char>(random_());
    std::string got;
    for (size_t written = 0;;) {
      pollfd items[2] = {{process.fd(Stream::kStdin), POLLOUT, 0},
                         {process.fd(Stream::kStdout), POLLIN, 0}};
      if (poll(items, 2, static_cast<int>(kHang.count())) <= 0) fail("cat: nothing moves");
      if (items[0].revents != 0) {
        const ssize_t put = write(items[0].fd, sent.data() + written,
                                  std::min<size_t>(sent.size() - written, 65536));
        if (put > 0) written += static_cast<size_t>(put);
        if (put < 0 && errno != EAGAIN) expect(false, "cat: its stdin broke");
        if (put < 0 ? errno != EAGAIN : written == sent.size()) process.close_fd(Stream::kStdin);
      }
      if (items[1].revents != 0 && !read_some(items[1].fd, got)) break;
    }
    if (waited(process, "cat")) expect(got == sent, "cat gave other bytes back");
  }

  // False at the end.
  static bool read_some(int fd, std::string& text) {
    std::array<char, 65536> chunk;
    const ssize_t got = read(fd, chunk.data(), chunk.size());
    if (got > 0) text.append(chunk.data(), static_cast<size_t>(got));
    return got > 0;
  }

  void signalled() {
    auto made = live_.session.exec(Exec(std::vector<std::string>{"/bin/sleep", "10000"}));
    if (!holds(made, "sleep")) return;
    Process& process = made.value();
    if (below(2) == 0 && !holds(process.wait_started(kHang), "sleep")) return;
    const int number = below(2) == 0 ? SIGTERM : SIGKILL;
    if (!holds(process.signal(number, static_cast<vmette::Scope>(below(3))), "signal")) return;
    if (waited(process, "sleep"))
      expect(process.term_signal() == number, "sleep ended by another signal");
    if (below(2) == 0) (void)holds(process.signal(number), "signal to an ended command");
  }

  void terminal() {
    Exec exec(std::vector<std::string>{"/bin/sh"});
    exec.set_tty(24, 80).set_stdin(vmette::Stdio::kPipe);
    auto made = live_.session.exec(exec);
    if (!holds(made, "sh")) return;
    Process& process = made.value();
    for (size_t i = below(4); i > 0; --i)
      (void)holds(process.resize(static_cast<uint16_t>(1 + below(200)), 132), "resize");
    constexpr std::string_view kLine = "echo here; exit 7\n";
    if (write(process.fd(Stream::kStdin), kLine.data(), kLine.size()) < 0)
      expect(false, "sh: its stdin broke");
    if (waited(process, "sh")) expect(process.exit_code() == 7, "sh exited with another code");
  }

  void timed_out() {
    Exec exec("sleep 10000 & sleep 10000");
    exec.set_timeout(milliseconds(1 + below(50)));
    const auto process = live_.session.exec(exec);
    if (holds(process, "sleep") && waited(process.value(), "a command with a timeout"))
      expect(process.value().timed_out(), "the timeout did not end it");
  }

  // Nobody waits; the command meets a closed pipe or ends by itself.
  void dropped() {
    Exec exec(below(2) == 0 ? "yes" : "head -c 300000 /dev/zero");
    exec.set_stdout(vmette::Stdio::kPipe).set_stdin(vmette::Stdio::kPipe);
    (void)holds(live_.session.exec(exec), "a dropped command");
  }

  void refused() {
    const auto process = live_.session.exec(Exec(std::vector<std::string>{"/no/such/program"}));
    if (!holds(process, "a program that is not there")) return;
    const auto started = process.value().wait_started(kHang);
    expect(!started && started.error().code() == vmette::ErrorCode::kSpawn,
           "a program that is not there was started");
  }

  // A reader that goes away in the middle.
  void cut_short() {
    Exec exec(std::vector<std::string>{"/bin/yes"});
    exec.set_stdout(vmette::Stdio::kPipe).set_stderr(vmette::Stdio::kPipe);
    auto made = live_.session.exec(exec);
    if (!holds(made, "yes")) return;
    Process& process = made.value();
    std::string text;
    for (size_t i = below(20); i > 0 && read_some(process.fd(Stream::kStdout), text); --i) {
    }
    process.close_fd(Stream::kStdout);
    if (waited(process, "yes")) expect(process.term_signal() == SIGPIPE, "yes met no SIGPIPE");
  }

  Live& live_;
  std::mt19937 random_;
};

// Pauses of random length, until the round is over.
void pause_and_resume(Live& live, Clock::time_point until, std::mt19937& random) {
  while (Clock::now() < until) {
    std::this_thread::sleep_for(milliseconds(random() % 200));
    if (const auto paused = live.session.pause(); !paused)
      fail("pause: " + std::string(paused.error().message()));
    std::this_thread::sleep_for(milliseconds(random() % 20));
    if (const auto resumed = live.session.unpause(); !resumed)
      fail("unpause: " + std::string(resumed.error().message()));
  }
}

unsigned one_round(Clock::time_point until, std::mt19937& random) {
  vmette::Config config;
  config.set_mem_mib(256).set_ready_timeout_ms(static_cast<uint32_t>(kHang.count()));
  auto created = Session::create(config);
  if (!created) fail("create: " + std::string(created.error().message()));
  Live live{std::move(created).value()};
  if (const auto started = live.session.start(); !started)
    fail("start: " + std::string(started.error().message()));
  std::vector<std::thread> threads;
  for (int i = 0; i < kWorkers; ++i)
    threads.emplace_back([&live, seed = random()] { Worker(live, seed).run(); });
  pause_and_resume(live, std::min<Clock::time_point>(until, Clock::now() + kRound), random);
  live.ending = true;
  const bool orderly = random() % 2 == 0;
  const auto ended =
      orderly ? live.session.stop(static_cast<uint32_t>(random() % 100)) : live.session.kill();
  if (!ended) fail("end: " + std::string(ended.error().message()));
  for (std::thread& thread : threads) thread.join();
  if (live.session.end() != vmette::End::kStopped)
    fail("the session ended by itself: " + std::string(live.session.end_message()));
  return live.done;
}

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc >= 2 ? std::atoi(argv[1]) : 0;
  if (seconds < 1) {
    std::fputs("usage: soak_live SECONDS [SEED]\n", stderr);
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const unsigned seed =
      argc >= 3 ? static_cast<unsigned>(std::atoi(argv[2])) : std::random_device{}();
  std::printf("seed %u\n", seed);
  std::fflush(stdout);
  std::mt19937 random(seed);
  const auto until = Clock::now() + std::chrono::seconds(seconds);
  unsigned operations = 0;
  unsigned rounds = 0;
  for (; Clock::now() < until; ++rounds) operations += one_round(until, random);
  std::printf("%u operations in %u sessions\n", operations, rounds);
  return 0;
}
