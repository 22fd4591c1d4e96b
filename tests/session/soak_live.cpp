// Random operations on live sessions from several threads: commands of every kind, their streams,
// signals, sizes, timeouts, files, transfers and trees, and the session paused, resumed and at last
// killed under them. Stops at the first thing that is not as it should be.
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
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>
#include <vmette.hpp>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using vmette::Exec;
using vmette::FileFlags;
using vmette::Process;
using vmette::Session;
using vmette::Stream;
using vmette::Transfer;

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

// A folder of the host, gone afterwards.
struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "vmette-soak-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) fail("no folder on the host");
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path path;
};

class Worker {
 public:
  Worker(Live& live, unsigned seed, int number)
      : live_(live), random_(seed), own_("/tmp/worker" + std::to_string(number)) {}

  void run() {
    using Operation = void (Worker::*)();
    constexpr Operation kOperations[] = {
        &Worker::captured,  &Worker::through_cat, &Worker::signalled, &Worker::terminal,
        &Worker::timed_out, &Worker::dropped,     &Worker::refused,   &Worker::cut_short,
        &Worker::one_file,  &Worker::streamed,    &Worker::given_up,  &Worker::copied,
        &Worker::disorder,  &Worker::disorder,    &Worker::disorder};
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
    const std::string sent = random_bytes(400'000);
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
    if (below(3) == 0) return fed_more_than_it_reads();
    Exec exec(below(2) == 0 ? "yes" : "head -c 300000 /dev/zero");
    exec.set_stdout(vmette::Stdio::kPipe).set_stdin(vmette::Stdio::kPipe);
    (void)holds(live_.session.exec(exec), "a dropped command");
  }

  void fed_more_than_it_reads() {
    Exec exec(std::vector<std::string>{"/bin/true"});
    exec.set_stdin_bytes(random_bytes(2'000'000));
    exec.set_stdout(vmette::Stdio::kNull).set_stderr(vmette::Stdio::kNull);
    const auto process = live_.session.exec(exec);
    if (holds(process, "true") && waited(process.value(), "a command that reads nothing"))
      expect(process.value().exit_code() == 0, "true failed");
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

  std::string random_bytes(size_t most) {
    std::string bytes(below(most), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }

  FileFlags write_flags() {
    auto flags = FileFlags::kParents;
    if (below(2) == 0) flags = flags | FileFlags::kAtomic;
    return flags;
  }

  // A file of the worker's own, in one piece.
  void one_file() {
    const std::string path = own_ + "/file";
    const std::string bytes = random_bytes(300'000);
    if (!holds(live_.session.write_file(path, bytes, write_flags(), VMETTE_MODE_KEEP, kHang),
               "write"))
      return;
    const auto info = live_.session.stat(path, FileFlags::kNone, kHang);
    if (holds(info, "stat")) expect(info.value().size() == bytes.size(), "a file of another size");
    const auto back = live_.session.read_file(path, bytes.size(), kHang);
    if (holds(back, "read")) expect(back.value().data() == bytes, "a file of other bytes");
    const auto names = live_.session.list(own_, kHang);
    if (holds(names, "list")) expect(names.value().size() == 1, "a file too many");
    (void)holds(live_.session.remove(own_, FileFlags::kRecursive, kHang), "remove");
  }

  // Moves what it can without waiting; false when the other side takes nothing any more.
  static bool write_some(int fd, std::string_view bytes, size_t& written) {
    pollfd item{fd, POLLOUT, 0};
    if (poll(&item, 1, static_cast<int>(kHang.count())) <= 0) fail("a write: nothing moves");
    const ssize_t put =
        write(fd, bytes.data() + written, std::min<size_t>(bytes.size() - written, 65536));
    if (put > 0) written += static_cast<size_t>(put);
    return put >= 0 || errno == EAGAIN;
  }
  static bool read_more(int fd, std::string& bytes) {
    pollfd item{fd, POLLIN, 0};
    if (poll(&item, 1, static_cast<int>(kHang.count())) <= 0) fail("a read: nothing moves");
    return read_some(fd, bytes);
  }

  // Several MiB, out and in, at times with a little more than a pipe between two looks.
  void streamed() {
    const std::string path = own_ + "/stream";
    const std::string bytes = random_bytes(below(4) == 0 ? 6'000'000 : 600'000);
    auto in = live_.session.open_write(path, write_flags());
    if (!holds(in, "open_write")) return;
    fcntl(in.value().fd(), F_SETFL, O_NONBLOCK);
    size_t written = 0;
    while (written < bytes.size() && write_some(in.value().fd(), bytes, written)) {
    }
    in.value().close_fd();
    if (!holds(in.value().wait(kHang), "a streamed write")) return;
    expect(in.value().bytes() == bytes.size(), "a streamed write of other bytes");
    const size_t from = below(bytes.size() + 1);
    auto out = live_.session.open_read(path, from);
    if (!holds(out, "open_read")) return;
    std::string back;
    while (read_more(out.value().fd(), back)) {
    }
    if (holds(out.value().wait(kHang), "a streamed read"))
      expect(back == bytes.substr(from), "a streamed read of other bytes");
    (void)holds(live_.session.remove(own_, FileFlags::kRecursive, kHang), "remove");
  }

  // A small tree in and out, and at times given up in the middle.
  void copied() {
    const Folder host;
    const std::string bytes = random_bytes(200'000);
    std::filesystem::create_directories(host.path / "in/a");
    std::ofstream(host.path / "in/a/f", std::ios::binary) << bytes;
    std::filesystem::create_symlink("f", host.path / "in/a/l");
    vmette::CopyOptions options;
    options.timeout = kHang;
    options.flags = FileFlags::kParents;
    const bool whole = below(3) != 0;
    if (!whole)
      options.progress = [](std::string_view, uint64_t done, uint64_t) { return done == 0; };
    const std::string guest = own_ + "/tree";
    const auto in = live_.session.copy_in((host.path / "in").string(), guest, options);
    if (!whole) {
      if (!in && in.error().code() != vmette::ErrorCode::kCancelled) (void)holds(in, "copy_in");
    } else if (holds(in, "copy_in")) {
      const auto out = live_.session.copy_out(guest, (host.path / "out").string(), options);
      if (holds(out, "copy_out")) {
        std::ostringstream back;
        back << std::ifstream(host.path / "out/a/f", std::ios::binary).rdbuf();
        expect(back.str() == bytes, "a tree of other bytes");
        expect(out.value().entries() == in.value().entries(), "a tree of other entries");
      }
    }
    (void)live_.session.remove(own_, FileFlags::kRecursive, kHang);
  }

  void given_up() {
    give_up_one();
    // The guest has heard of that when it hears of this.
    (void)live_.session.remove(own_, FileFlags::kRecursive, kHang);
  }

  // Cancelled, closed or deleted in the middle.
  void give_up_one() {
    const bool reads = below(2) == 0;
    auto made = reads ? live_.session.open_read("/dev/zero", 0, 1 + below(8'000'000))
                      : live_.session.open_write(own_ + "/given-up", write_flags());
    if (!holds(made, "a transfer to give up")) return;
    Transfer& transfer = made.value();
    const std::string bytes(below(3'000'000), 'g');
    fcntl(transfer.fd(), F_SETFL, O_NONBLOCK);
    std::string got;
    size_t moved = 0;
    while (reads ? got.size() < bytes.size() && read_more(transfer.fd(), got)
                 : moved < bytes.size() && write_some(transfer.fd(), bytes, moved)) {
    }
    const size_t how = below(4);
    if (how == 0) return;  // deleted
    if (how == 1 && reads) {
      transfer.close_fd();
    } else {
      transfer.cancel();
      if (how == 2) transfer.close_fd();
    }
    const auto done = transfer.wait(kHang);
    if (done) return;
    expect(done.error().code() == vmette::ErrorCode::kCancelled,
           "given up, and said: " + std::string(done.error().message()));
  }

  // All workers at once on few names: whatever the guest says is right, but it answers.
  void disorder() {
    const auto name = [&] {
      std::string path = "/tmp/shared/" + std::to_string(below(4));
      for (size_t i = below(3); i > 0; --i) path += "/" + std::to_string(below(4));
      return path;
    };
    Session& session = live_.session;
    switch (below(10)) {
      case 0:
        return answered(session.write_file(name(), random_bytes(2'000),
                                           write_flags() | FileFlags::kExclusive, 0600, kHang));
      case 1:
        return answered(session.read_file(name(), 1'000, kHang));
      case 2:
        return answered(session.list(name(), kHang));
      case 3:
        return answered(session.mkdir(name(), 0755, FileFlags::kParents, kHang));
      case 4:
        return answered(session.remove(name(), FileFlags::kRecursive, kHang));
      case 5:
        return answered(session.rename(name(), name(), FileFlags::kNone, kHang));
      case 6:
        return answered(session.symlink("../" + std::to_string(below(4)), name(), kHang));
      case 7:
        return answered(session.chmod(name(), 0700, kHang));
      case 8:
        return answered(session.exists(name(), milliseconds(below(20))));
      default:
        return answered(session.stats(kHang));
    }
  }

  template <class T>
  void answered(const vmette::result<T>& result) {
    if (result || result.error().code() == vmette::ErrorCode::kFile ||
        result.error().code() == vmette::ErrorCode::kDeadline)
      return;
    (void)holds(result, "a call");
  }

  Live& live_;
  std::mt19937 random_;
  const std::string own_;
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
    threads.emplace_back([&live, seed = random(), i] { Worker(live, seed, i).run(); });
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
