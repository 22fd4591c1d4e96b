// Calls on a directory of the test's own, with the test as the host at the other end of a socket.
#include "calls.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "control.h"
#include "paths.h"
#include "support/catch.h"

using namespace vmette;
using namespace vmette::agent;

namespace {

namespace fs = std::filesystem;

// What a call came to.
struct Outcome {
  bool over = false;
  wire::CallResult result;
  wire::Failure failure;
};

class Bench final : public ControlStream::Peer {
 public:
  Bench() {
    REQUIRE(mkdtemp(folder_.data()) != nullptr);
    root_.directory.reset(open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    host_.reset(fds[1]);
    control_ = std::make_unique<ControlStream>(loop_, UniqueFd(fds[0]), *this);
    calls_ = std::make_unique<Calls>(CallContext{loop_, *control_, root_, nullptr});
  }
  ~Bench() {
    calls_.reset();
    fs::remove_all(folder_);
  }

  [[nodiscard]] fs::path at(const std::string& name) const { return fs::path(folder_) / name; }

  uint64_t begin(const char* op, const std::string& path, uint32_t flags = 0) {
    wire::Call request;
    request.op = op;
    request.path = path;
    request.flags = flags;
    request.mode = 0755;
    REQUIRE(calls_->begin(++last_, request));
    return last_;
  }
  const Outcome& finish(uint64_t stream) {
    while (!outcomes_[stream].over) turn();
    return outcomes_[stream];
  }
  Outcome call(const char* op, const std::string& path, uint32_t flags = 0) {
    return finish(begin(op, path, flags));
  }
  int error(const char* op, const std::string& path, uint32_t flags = 0) {
    return call(op, path, flags).failure.error;
  }

 private:
  void turn() {
    loop_.turn(true);
    control_->pump();
    calls_->sweep();
    const auto room = decoder_.space();
    const ssize_t got = read(host_.get(), room.data(), room.size());
    if (got <= 0) return;
    decoder_.fill(static_cast<size_t>(got));
    wire::Frame frame;
    while (decoder_.next(frame) == wire::Decoder::Status::kFrame) take(frame);
  }
  void take(const wire::Frame& frame) {
    Outcome& outcome = outcomes_[frame.stream];
    CHECK_FALSE(outcome.over);
    if (frame.type == wire::Type::kResult) {
      outcome.result = *wire::decode<wire::CallResult>(frame.payload).value;
      outcome.over = true;
    } else if (frame.type == wire::Type::kError) {
      outcome.failure = *wire::decode<wire::Failure>(frame.payload).value;
      outcome.over = true;
    }
  }

  void frame(const wire::Frame&) override {}
  void broken(std::string_view) override {}
  void lost() override {}

  std::string folder_ = "/tmp/vmette-calls-XXXXXX";
  RootFs root_;
  Loop loop_;
  UniqueFd host_;
  std::unique_ptr<ControlStream> control_;
  std::unique_ptr<Calls> calls_;
  wire::Decoder decoder_{wire::Sender::kGuest};
  uint64_t last_ = 0;
  std::map<uint64_t, Outcome> outcomes_;
};

void touch(const fs::path& path) {
  REQUIRE(std::ofstream(path).put('x').good());
}

// Does something again and again on a thread of its own.
class Meddler {
 public:
  template <class Work>
  explicit Meddler(Work work)
      : thread_([this, work] {
          while (!over_) work();
        }) {}
  ~Meddler() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("Two removals of one tree at once both find it gone") {
  Bench bench;
  fs::create_directories(bench.at("tree/a/b"));
  for (int i = 0; i < 1000; ++i) touch(bench.at("tree/a/b/" + std::to_string(i)));
  const uint64_t first = bench.begin(wire::op::kRemove, "/tree", wire::kCallRecursive);
  const uint64_t second = bench.begin(wire::op::kRemove, "/tree", wire::kCallRecursive);
  CHECK(bench.finish(first).failure.error == 0);
  CHECK(bench.finish(second).failure.error == 0);
  CHECK_FALSE(fs::exists(bench.at("tree")));
}

TEST_CASE("A recursive removal says why a file cannot be removed, and which") {
  Bench bench;
  fs::create_directories(bench.at("tree/a"));
  touch(bench.at("tree/a/kept"));
  const UniqueFd file(open(bench.at("tree/a/kept").c_str(), O_RDONLY | O_CLOEXEC));
  int flags = FS_IMMUTABLE_FL;
  if (ioctl(file.get(), FS_IOC_SETFLAGS, &flags) != 0) {
    WARN("no file can be made immutable here");
    return;
  }
  const Outcome outcome = bench.call(wire::op::kRemove, "/tree", wire::kCallRecursive);
  flags = 0;
  REQUIRE(ioctl(file.get(), FS_IOC_SETFLAGS, &flags) == 0);
  CHECK(outcome.failure.error == EPERM);
  CHECK(outcome.failure.path == "/tree/a/kept");
}

TEST_CASE("A removal under which files are made again and again comes to an end") {
  Bench bench;
  fs::create_directories(bench.at("tree/a"));
  const Meddler maker([path = bench.at("tree/a/f")] { std::ofstream(path).put('x'); });
  const int error = bench.error(wire::op::kRemove, "/tree", wire::kCallRecursive);
  INFO(error);
  CHECK((error == 0 || error == ENOTEMPTY));
}

TEST_CASE("A lookup through .. does not fail because something else is renamed") {
  Bench bench;
  fs::create_directories(bench.at("a/b"));
  touch(bench.at("a/f"));
  fs::create_directories(bench.at("x"));
  std::atomic<int> renames{0};
  const Meddler renamer([&renames, from = bench.at("x"), to = bench.at("y")] {
    (void)rename(from.c_str(), to.c_str());
    (void)rename(to.c_str(), from.c_str());
    ++renames;
  });
  const UniqueFd root(open(bench.at("").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  int failures = 0;
  while (renames < 5000) failures += open_in_root(root.get(), "/a/b/../b/../f", O_PATH) ? 0 : 1;
  CHECK(failures == 0);
}

TEST_CASE("The mode of a new directory is not given to what a command puts in its place") {
  Bench bench;
  touch(bench.at("victim"));
  chmod(bench.at("victim").c_str(), 0600);
  {
    const Meddler swapper([made = bench.at("made"), link = bench.at("link")] {
      (void)renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
    });
    for (int i = 0; i < 2000; ++i) {
      fs::create_symlink("victim", bench.at("link"));
      (void)bench.error(wire::op::kMkdir, "/made");
      for (const char* name : {"link", "made"})
        while (std::remove(bench.at(name).c_str()) != 0 && errno != ENOENT) {
        }
    }
  }
  struct stat status{};
  REQUIRE(stat(bench.at("victim").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
}

TEST_CASE("Parents are made whatever the slashes are, and the root is there already") {
  Bench bench;
  CHECK(bench.error(wire::op::kMkdir, "//a//b/./c/../d", wire::kCallParents) == 0);
  CHECK(fs::is_directory(bench.at("a/b/d")));
  CHECK(bench.error(wire::op::kMkdir, "//", wire::kCallParents) == 0);
  CHECK(bench.error(wire::op::kMkdir, "/") == EEXIST);
  CHECK(bench.error(wire::op::kWrite, "/none/", wire::kCallAtomic) == EISDIR);
  CHECK_FALSE(fs::exists(bench.at("none")));
}

TEST_CASE("A time beyond what the answer can say is the last one that it can") {
  Bench bench;
  touch(bench.at("f"));
  const timespec times[2] = {{0, UTIME_OMIT}, {int64_t{1} << 40, 5}};
  REQUIRE(utimensat(AT_FDCWD, bench.at("f").c_str(), times, 0) == 0);
  struct stat status{};
  REQUIRE(stat(bench.at("f").c_str(), &status) == 0);
  const auto outcome = bench.call(wire::op::kStat, "/f");
  REQUIRE(outcome.result.info);
  // Some file systems cannot keep such a time.
  if (status.st_mtim.tv_sec > INT64_MAX / 1'000'000'000) {
    CHECK(outcome.result.info->mtime_ns == INT64_MAX);
  } else {
    CHECK(outcome.result.info->mtime_ns > 0);
  }
}
