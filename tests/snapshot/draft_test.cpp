#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/snapshot/draft_dir.h"
#include "core/snapshot/snapshot_dir.h"
#include "snapshot/sample.h"
#include "support/catch.h"
#include "support/mounted.h"
#include "support/temp_dir.h"
#include "support/text.h"

using vmette::UniqueFd;
using vmette::core::Code;
using vmette::core::draft_name;
using vmette::core::is_draft_name;
using vmette::core::read_manifest;
using vmette::core::remove_snapshot;
using vmette::core::SnapshotDraft;
using vmette::core::sweep_snapshots;
using vmette_test::build_sample;
using vmette_test::contains;
using vmette_test::Mounted;
using vmette_test::require_ok;
using vmette_test::sample_manifest;
using vmette_test::TempDir;
using vmette_test::write_files;

namespace fs = std::filesystem;

namespace {

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

using Names = std::vector<std::string>;

template <class Result>
std::string refusal(const Result& result) {
  REQUIRE_FALSE(result);
  INFO(result.error().message);
  CHECK(result.error().code == Code::kSnapshot);
  return result.error().message;
}

// Runs `work` in another process until it says that it is ready, and kills that there.
template <class Work>
void killed_after(Work work) {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    const auto keep = work();
    if (write(ends[1], "x", 1) != 1) _exit(1);
    while (true) pause();
  }
  UniqueFd reader(ends[0]);
  UniqueFd(ends[1]).reset();
  char byte = 0;
  const ssize_t got = read(reader.get(), &byte, 1);
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  REQUIRE(got == 1);
}

}  // namespace

TEST_CASE("names of drafts are told from others") {
  const std::string name = draft_name("warm");
  CHECK(name.rfind(".warm.vmette-", 0) == 0);
  CHECK(is_draft_name(name));
  CHECK(draft_name("warm") != name);
  CHECK(draft_name(std::string(255, 'x')).size() == 255);
  CHECK(is_draft_name(draft_name(std::string(255, 'x'))));
  for (const char* other : {"", ".", "warm", ".warm.vmette-", ".warm.vmette-0123456789abcde",
                            "warm.vmette-0123456789abcdef", ".warm.vmette-0123456789ABCDEF",
                            ".warm.vmette-0123456789abcdef0", ".warm-0123456789abcdef"})
    CHECK_FALSE(is_draft_name(other));
}

TEST_CASE("a committed draft is a snapshot, and nothing else is left") {
  const TempDir host;
  const TempDir dir;
  for (const std::string& path : {dir / "warm", dir / "slashes//", dir / "./dotted"}) {
    auto draft = SnapshotDraft::create(path);
    require_ok(draft);
    CHECK_FALSE(fs::exists(draft.value().directory()));
    write_files(draft.value().directory());
    CHECK_FALSE(read_manifest(draft.value().directory()));
    require_ok(draft.value().commit(sample_manifest(host)));
    CHECK(draft.value().committed());
    CHECK(fs::equivalent(draft.value().directory(), path));
    CHECK_FALSE(draft.value().commit(sample_manifest(host)));
  }
  CHECK(names_in(dir.path()) == Names{"dotted", "slashes", "warm"});
  CHECK(names_in(dir / "warm") == Names{"devices", "disk2", "manifest.json", "ram", "scratch"});
  require_ok(read_manifest(dir / "warm"));
}

TEST_CASE("a draft that is not committed is gone, made or not, adopted or not") {
  const TempDir dir;
  for (const int made : {0, 1, 2}) {
    auto draft = SnapshotDraft::create(dir / "warm");
    require_ok(draft);
    if (made > 0) write_files(draft.value().directory());
    if (made > 1) require_ok(draft.value().adopt());
    SnapshotDraft moved = std::move(draft.value());
    CHECK(fs::exists(moved.directory()) == (made > 0));
  }
  CHECK(names_in(dir.path()).empty());
}

TEST_CASE("what is there already is not overwritten") {
  const TempDir dir;
  (void)dir.write("file", "");
  fs::create_directory(dir / "directory");
  fs::create_symlink("nowhere", dir / "link");
  for (const char* name : {"file", "directory", "link"}) {
    const std::string message = refusal(SnapshotDraft::create(dir / name));
    CHECK(contains(message, name));
    CHECK(contains(message, "remove it or choose another name"));
  }
  for (const std::string& path : {std::string(), std::string("/"), dir / "x/..", dir / "."})
    refusal(SnapshotDraft::create(path));
  CHECK(contains(refusal(SnapshotDraft::create(dir / "missing/warm")), "missing"));
  CHECK(contains(refusal(SnapshotDraft::create(dir / "file/warm")), "file"));
}

TEST_CASE("something that comes to the place meanwhile stays, and the draft goes") {
  const TempDir host;
  const TempDir dir;
  for (const bool directory : {true, false}) {
    {
      auto draft = SnapshotDraft::create(dir / "warm");
      require_ok(draft);
      write_files(draft.value().directory());
      if (directory)
        fs::create_directory(dir / "warm");
      else
        (void)dir.write("warm", "mine");
      const std::string message = refusal(draft.value().commit(sample_manifest(host)));
      CHECK(contains(message, "remove it or choose another name"));
    }
    CHECK(names_in(dir.path()) == Names{"warm"});
    CHECK(fs::is_directory(dir / "warm") == directory);
    fs::remove_all(dir / "warm");
  }
}

TEST_CASE("of many builders of one path one wins, and nothing of the others is left") {
  const TempDir host;
  const TempDir dir;
  constexpr int kBuilders = 8;
  const auto manifest = sample_manifest(host);
  std::atomic<int> winners = 0;
  std::atomic<int> losers = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kBuilders; ++i)
    threads.emplace_back([&] {
      auto draft = SnapshotDraft::create(dir / "warm");
      if (draft) {
        write_files(draft.value().directory());
        const auto committed = draft.value().commit(manifest);
        if (committed) {
          ++winners;
          return;
        }
      }
      ++losers;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(winners == 1);
  CHECK(losers == kBuilders - 1);
  CHECK(names_in(dir.path()) == Names{"warm"});
  require_ok(read_manifest(dir / "warm"));
}

TEST_CASE("what a killed build left is swept by the next one there, in every phase") {
  const TempDir host;
  const auto manifest = sample_manifest(host);
  for (const int phase : {0, 1, 2, 3}) {
    INFO(phase);
    const TempDir dir;
    killed_after([&] {
      auto draft = SnapshotDraft::create(dir / "warm");
      if (phase == 0) fs::create_directory(draft.value().directory());
      if (phase > 0) write_files(draft.value().directory());
      if (phase > 1) (void)draft.value().adopt();
      // As it is between the manifest's rename and its own.
      if (phase > 2)
        vmette_test::overwrite(draft.value().directory() + "/manifest.json", to_text(manifest));
      return draft;
    });
    CHECK(names_in(dir.path()).size() == 1);
    CHECK_FALSE(fs::exists(dir / "warm"));
    (void)build_sample(host, dir / "other");
    CHECK(names_in(dir.path()) == Names{"other"});
  }
}

TEST_CASE("a draft that somebody works on is not swept, before and after it is adopted") {
  const TempDir dir;
  auto first = SnapshotDraft::create(dir / "warm");
  require_ok(first);
  write_files(first.value().directory());
  sweep_snapshots(dir.path());
  CHECK(fs::exists(first.value().directory()));
  require_ok(first.value().adopt());
  sweep_snapshots(dir.path());
  CHECK(fs::exists(first.value().directory()));

  // A helper's lock is as good.
  const std::string other = dir / draft_name("helper");
  write_files(other);
  UniqueFd held(open(other.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(flock(held.get(), LOCK_SH) == 0);
  sweep_snapshots(dir.path());
  CHECK(fs::exists(other));
  held.reset();
  sweep_snapshots(dir.path());
  CHECK_FALSE(fs::exists(other));
  CHECK(fs::exists(first.value().directory()));
}

TEST_CASE("a sweep follows no link and takes nothing but drafts") {
  const TempDir dir;
  const TempDir precious;
  const std::string file = precious.write("file", "mine");
  fs::create_directory_symlink(precious.path(), dir / draft_name("link"));
  fs::create_directory(dir / draft_name("deep"));
  const std::string deep = dir / "deep/.x.vmette-0123456789abcdef/inner/file";
  (void)dir.write("deep/.x.vmette-0123456789abcdef/inner/file", "mine");
  (void)dir.write(draft_name("file"), "a file");
  fs::create_directory(dir / ".warm.vmette-short");
  const std::string links = dir / draft_name("links");
  fs::create_directory(links);
  fs::create_symlink(file, links + "/ram");
  fs::create_hard_link(file, links + "/devices");
  sweep_snapshots(dir.path());
  sweep_snapshots(dir / "deep");
  CHECK(fs::exists(file));
  CHECK(fs::exists(deep));
  CHECK_FALSE(fs::exists(links));
  const Names left = names_in(dir.path());
  CHECK(left.size() == 4);  // the link, the file, the short name and deep
}

TEST_CASE("a helper's directory that was swept under it is noticed") {
  const TempDir dir;
  auto draft = SnapshotDraft::create(dir / "warm");
  require_ok(draft);
  CHECK(contains(refusal(draft.value().adopt()), "gone"));
  CHECK(contains(refusal(draft.value().put_file("/dev/null", "root.squashfs")), "gone"));
}

TEST_CASE("a file comes into a draft as a hard link, or as a copy where none can be") {
  const TempDir host;
  const TempDir dir;
  const std::string image = host.write("image", std::string(3'000'000, 'i'));
  auto draft = SnapshotDraft::create(dir / "warm");
  require_ok(draft);
  write_files(draft.value().directory());
  require_ok(draft.value().put_file(image, "root.squashfs"));
  const std::string placed = draft.value().directory() + "/root.squashfs";
  CHECK(fs::equivalent(placed, image));
  CHECK(contains(refusal(draft.value().put_file(image, "root.squashfs")), "exists"));
  for (const char* name : {"../out", "manifest.json", "other"})
    CHECK(contains(refusal(draft.value().put_file(image, name)), name));
  CHECK(contains(refusal(draft.value().put_file(host.path(), "disk1")), "disk1"));
  CHECK(contains(refusal(draft.value().put_file(host / "missing", "disk1")), "missing"));
}

TEST_CASE("a file comes from another file system too, until the disk is full") {
  if (geteuid() != 0) {
    WARN("skipped: mounting a small file system needs root");
    return;
  }
  const TempDir host;
  const std::string image = host.write("image", std::string(3'000'000, 'i'));
  const TempDir dir;
  const Mounted small(dir / "small", "size=40m");
  auto draft = SnapshotDraft::create(dir / "small/warm");
  require_ok(draft);
  write_files(draft.value().directory());
  uint64_t seen = 0;
  require_ok(draft.value().put_file(image, "root.squashfs",
                                    [&](const std::string&, uint64_t done, uint64_t total) {
                                      CHECK(total == 3'000'000);
                                      seen = done;
                                      return true;
                                    }));
  CHECK(seen == 3'000'000);
  CHECK(fs::file_size(draft.value().directory() + "/root.squashfs") == 3'000'000);
  const auto given_up = draft.value().put_file(
      image, "disk5", [](const std::string&, uint64_t done, uint64_t) { return done == 0; });
  REQUIRE_FALSE(given_up);
  CHECK(given_up.error().code == Code::kCancelled);
  const std::string large = host.write("large", "");
  fs::resize_file(large, 60'000'000);
  const auto full = draft.value().put_file(large, "disk4");
  CHECK(contains(refusal(full), "make room"));
  CHECK(full.error().error_number == ENOSPC);
  for (const char* name : {"/disk4", "/disk5"})
    CHECK_FALSE(fs::exists(draft.value().directory() + name));
}

TEST_CASE("a disk that is full when the manifest is written leaves no snapshot") {
  if (geteuid() != 0) {
    WARN("skipped: mounting a small file system needs root");
    return;
  }
  const TempDir host;
  const TempDir dir;
  const Mounted small(dir / "small", "size=1m");
  {
    auto draft = SnapshotDraft::create(dir / "small/warm");
    require_ok(draft);
    write_files(draft.value().directory());
    std::ofstream fill(draft.value().directory() + "/disk7", std::ios::binary);
    const std::string chunk(4096, 'x');
    while (fill.write(chunk.data(), 4096) && fill.flush()) {
    }
    const auto full = draft.value().commit(sample_manifest(host));
    CHECK(contains(refusal(full), "make room"));
    CHECK(full.error().error_number == ENOSPC);
  }
  CHECK(names_in(dir / "small").empty());
}

TEST_CASE("a directory with something that is not of a snapshot is not committed") {
  const TempDir host;
  const TempDir dir;
  for (const char* name : {"stranger", "disk3"}) {
    auto draft = SnapshotDraft::create(dir / "warm");
    require_ok(draft);
    write_files(draft.value().directory());
    if (*name == 's')
      vmette_test::overwrite(draft.value().directory() + "/stranger", "");
    else
      fs::create_symlink("/etc/passwd", draft.value().directory() + "/disk3");
    CHECK(contains(refusal(draft.value().commit(sample_manifest(host))), name));
    fs::remove(draft.value().directory() + "/" + name);
  }
  // Nor one that no resume could read.
  auto draft = SnapshotDraft::create(dir / "warm");
  require_ok(draft);
  write_files(draft.value().directory());
  auto manifest = sample_manifest(host);
  manifest.vcpus = 0;
  const auto committed = draft.value().commit(manifest);
  REQUIRE_FALSE(committed);
  CHECK(contains(committed.error().message, "vcpus"));
  CHECK_FALSE(fs::exists(dir / "warm"));
}

TEST_CASE("a private draft keeps its temporary name and goes with its owner") {
  const TempDir host;
  const TempDir dir;
  {
    auto draft = SnapshotDraft::create_private(dir.path());
    require_ok(draft);
    const std::string before = draft.value().directory();
    write_files(before);
    require_ok(draft.value().commit(sample_manifest(host)));
    CHECK(draft.value().directory() == before);
    CHECK(is_draft_name(fs::path(draft.value().directory()).filename().string()));
    require_ok(read_manifest(draft.value().directory()));
    sweep_snapshots(dir.path());
    CHECK(fs::exists(draft.value().directory()));
    SnapshotDraft other = std::move(draft.value());
    CHECK(fs::exists(other.directory()));
  }
  CHECK(names_in(dir.path()).empty());
  killed_after([&] {
    auto draft = SnapshotDraft::create_private(dir.path());
    write_files(draft.value().directory());
    (void)draft.value().commit(sample_manifest(host));
    return draft;
  });
  CHECK(names_in(dir.path()).size() == 1);
  sweep_snapshots(dir.path());
  CHECK(names_in(dir.path()).empty());
}

TEST_CASE("a snapshot is removed whole, and only a snapshot is") {
  const TempDir host;
  const TempDir dir;
  (void)build_sample(host, dir / "warm");
  const UniqueFd ram(open((dir / "warm/ram").c_str(), O_RDONLY | O_CLOEXEC));
  require_ok(remove_snapshot(dir / "warm/"));
  CHECK(names_in(dir.path()).empty());
  char byte = 1;
  CHECK(pread(ram.get(), &byte, 1, 0) == 1);  // who runs from it goes on

  for (const std::string& path : {dir / "warm", dir / "missing/warm", std::string("/")})
    refusal(remove_snapshot(path));
  (void)dir.write("home/manifest.json", "{}");
  (void)dir.write("home/thesis.tex", "mine");
  CHECK(contains(refusal(remove_snapshot(dir / "home")), "thesis.tex"));
  CHECK(fs::exists(dir / "home/manifest.json"));
  (void)dir.write("plain/ram", "");
  CHECK(contains(refusal(remove_snapshot(dir / "plain")), "manifest.json"));
  (void)build_sample(host, dir / "real");
  fs::create_directory_symlink(dir / "real", dir / "link");
  refusal(remove_snapshot(dir / "link"));
  require_ok(read_manifest(dir / "real"));
}

TEST_CASE("a draft is removed by its name, unless somebody works on it") {
  const TempDir dir;
  const std::string left = dir / draft_name("warm");
  write_files(left);
  vmette_test::overwrite(left + "/stream", "");
  require_ok(remove_snapshot(left));
  CHECK_FALSE(fs::exists(left));
  auto draft = SnapshotDraft::create(dir / "warm");
  require_ok(draft);
  write_files(draft.value().directory());
  require_ok(draft.value().adopt());
  CHECK(contains(refusal(remove_snapshot(draft.value().directory())), "still making it"));
  CHECK(fs::exists(draft.value().directory()));
}
