#include "vmm/qemu/file_copy.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "base/unique_fd.h"
#include "support/catch.h"
#include "vmm/helper.h"
#include "vmm/qemu/identity.h"
#include "vmm/qemu/worker.h"

using namespace vmette::vmm;
using vmette::UniqueFd;
using vmette_test::TemporaryFolder;

namespace {

const std::atomic<bool> kGoOn = false;
const std::atomic<bool> kStop = true;

UniqueFd new_file(const TemporaryFolder& folder, const char* name) {
  return UniqueFd(
      open((folder.path() + "/" + name).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

std::string text_of(const TemporaryFolder& folder, const char* name) {
  std::ostringstream text;
  text << std::ifstream(folder.path() + "/" + name, std::ios::binary).rdbuf();
  return text.str();
}

uint64_t stored(const UniqueFd& file) {
  struct stat info{};
  fstat(file.get(), &info);
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

}  // namespace

TEST_CASE("a copy of a file has its bytes, its size and its holes") {
  const TemporaryFolder folder;
  const UniqueFd from = new_file(folder, "from");
  constexpr off_t kSize = (off_t{40} << 20) + 123;
  REQUIRE(ftruncate(from.get(), kSize) == 0);
  const std::string text(200'000, 'x');
  for (const off_t at : {off_t{0}, off_t{7} << 20, kSize - 200'000})
    REQUIRE(pwrite(from.get(), text.data(), text.size(), at) == 200'000);
  const UniqueFd to = new_file(folder, "to");
  clone_file(from.get(), to.get(), kGoOn);
  CHECK((text_of(folder, "to") == text_of(folder, "from")));  // not to be printed
  CHECK(stored(to) <= stored(from) + (1 << 20));
}

TEST_CASE("a copy of memory leaves out its zeros") {
  const TemporaryFolder folder;
  const UniqueFd memory(memfd_create("memory", MFD_CLOEXEC));
  constexpr size_t kPage = 4096;
  constexpr size_t kPages = 4096;
  REQUIRE(ftruncate(memory.get(), kPages * kPage) == 0);
  const std::string zeros(kPage, '\0');
  std::string expected(kPages * kPage, '\0');
  const auto put = [&](size_t page, size_t byte, char value) {
    std::string bytes = zeros;
    bytes[byte] = value;
    REQUIRE(pwrite(memory.get(), bytes.data(), kPage, static_cast<off_t>(page * kPage)) == kPage);
    expected[page * kPage + byte] = value;
  };
  // Pages of zeros that are there, and ones with a single other byte at each end.
  for (size_t page = 100; page < 1200; ++page) put(page, 0, '\0');
  put(0, 0, 'a');
  put(1, kPage - 1, 'b');
  put(63, 0, 'c');
  put(64, 8, 'd');
  put(1000, 1, 'e');
  put(kPages - 1, kPage - 1, 'f');
  const UniqueFd to = new_file(folder, "to");
  copy_memory(memory.get(), to.get(), kGoOn);
  CHECK((text_of(folder, "to") == expected));  // not to be printed
  CHECK(stored(to) <= 6 * 16 * kPage);
  // The zeros that are there are given back.
  CHECK(stored(memory) >= 1100 * kPage);
  punch_zeros(memory.get(), kGoOn);
  CHECK(stored(memory) == 6 * kPage);
  std::string left(kPages * kPage, 'x');
  REQUIRE(pread(memory.get(), left.data(), left.size(), 0) == static_cast<ssize_t>(left.size()));
  CHECK((left == expected));  // not to be printed
}

TEST_CASE("copies tell which side failed, and stop when they are told to") {
  const TemporaryFolder folder;
  folder.write("from", std::string(100'000, 'x'));
  const UniqueFd from(open((folder.path() + "/from").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd unwritable(open(folder.write("to", "").c_str(), O_RDONLY | O_CLOEXEC));
  const auto fails = [](const auto& copy, bool reading) {
    try {
      copy();
    } catch (const CopyError& error) {
      return error.reading == reading && !error.full() && !error.reason().empty();
    }
    return false;
  };
  CHECK(fails([&] { clone_file(from.get(), unwritable.get(), kGoOn); }, false));
  CHECK(fails([&] { clone_file(-1, unwritable.get(), kGoOn); }, true));
  const auto rewind = [&] { REQUIRE(lseek(from.get(), 0, SEEK_SET) == 0); };
  rewind();
  CHECK(fails([&] { drain_pipe(from.get(), unwritable.get(), kGoOn); }, false));
  rewind();
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  try {
    drain_pipe(from.get(), full.get(), kGoOn);
    CHECK(false);
  } catch (const CopyError& error) {
    CHECK(error.full());
  }
  const UniqueFd to = new_file(folder, "new");
  CHECK_THROWS_AS(drain_pipe(from.get(), to.get(), kStop), Cancelled);
  CHECK_THROWS_AS(sync_file(to.get(), kStop), Cancelled);
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  CHECK_THROWS_AS(fill_pipe(from.get(), writer.get(), kStop), Cancelled);
}

TEST_CASE("what goes through a pipe arrives whole, from either end's worker") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 500'000; ++i) text += std::to_string(i);
  const UniqueFd from(open(folder.write("from", text).c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd to = new_file(folder, "to");
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  Worker drain([&](const std::atomic<bool>& stop) { drain_pipe(reader.get(), to.get(), stop); });
  fill_pipe(from.get(), writer.get(), kGoOn);
  CHECK_FALSE(drain.finish());
  writer.reset();
  while (!drain.finish()) usleep(1000);
  CHECK_FALSE(drain.error());
  CHECK((text_of(folder, "to") == text));  // not to be printed
}

TEST_CASE("a worker hands on what its work throws, and ends when it is not wanted any more") {
  Worker failing([](const std::atomic<bool>&) { throw std::runtime_error("what"); });
  while (!failing.finish()) usleep(1000);
  CHECK_THROWS_WITH(std::rethrow_exception(failing.error()), "what");
  CHECK(failing.fd() == -1);
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const UniqueFd silent(ends[0]);
  const UniqueFd open_end(ends[1]);
  const TemporaryFolder folder;
  const UniqueFd to = new_file(folder, "to");
  // Its end is waited for, though the other end of its pipe never says a word.
  const Worker waiting(
      [&](const std::atomic<bool>& stop) { drain_pipe(silent.get(), to.get(), stop); });
}

TEST_CASE("a host's CPU is told by its name and its flags, in whatever order they are") {
  const std::string one = host_cpu(
      "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu vme\n\n"
      "processor\t: 1\nmodel name\t: Another\nflags\t\t: none\n");
  CHECK(one.starts_with("A CPU, flags "));
  CHECK(one == host_cpu("model name\t: A CPU\nflags\t\t: vme fpu\n"));
  CHECK(one != host_cpu("model name\t: A CPU\nflags\t\t: vme\n"));
  CHECK(host_cpu("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\nFeatures\t: fp asimd\n")
            .starts_with("0x41 0xd0c, flags "));
  CHECK_FALSE(host_cpu("").empty());
  CHECK_FALSE(host_cpu("garbage\n:\nflags\t:\n").empty());
}
