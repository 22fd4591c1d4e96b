#include "raw_machine.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

namespace vmette::bench {
namespace {

constexpr int kDeadlineMs = 120'000;

void wait_readable(int fd, const char* what) {
  pollfd item{fd, POLLIN, 0};
  if (poll(&item, 1, kDeadlineMs) != 1) die(fmt::format("nothing came from the {}", what));
}

// One end; the other joins `theirs`, out of the way of the numbers that it gets in a child.
UniqueFd connected(std::vector<UniqueFd>& theirs) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("no socket");
  theirs.emplace_back(ends[1]);
  return UniqueFd(ends[0]);
}

// Appends what comes until the text is in it; false at the end of all.
bool read_until(int fd, const char* what, const std::string& text, std::string& seen) {
  char chunk[4096];
  while (seen.find(text) == std::string::npos) {
    wait_readable(fd, what);
    const ssize_t got = read(fd, chunk, sizeof chunk);
    if (got <= 0) return false;
    seen.append(chunk, static_cast<size_t>(got));
  }
  return true;
}

std::string hex8(size_t number) {
  return fmt::format("{:08x}", number);
}

// One member of a newc archive.
void append_member(std::string& archive, const std::string& name, uint32_t mode,
                   const std::string& data, uint32_t major, uint32_t minor) {
  archive += "070701" + hex8(0) + hex8(mode) + hex8(0) + hex8(0) + hex8(1) + hex8(0) +
             hex8(data.size()) + hex8(0) + hex8(0) + hex8(major) + hex8(minor) +
             hex8(name.size() + 1) + hex8(0) + name;
  const auto pad = [&] { archive.append((4 - archive.size() % 4) % 4, '\0'); };
  archive += '\0';
  pad();
  archive += data;
  pad();
}

}  // namespace

void die(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) die("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  if (!(out << bytes) || !out.flush()) die("cannot write " + path);
}

std::string init_archive(const std::string& program) {
  std::string archive;
  append_member(archive, "dev", 0040755, {}, 0, 0);
  append_member(archive, "dev/console", 0020600, {}, 5, 1);
  append_member(archive, "init", 0100755, read_file(program), 0, 0);
  append_member(archive, "TRAILER!!!", 0, {}, 0, 0);
  return archive;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void verdict(const std::string& name, double value, const char* relation, double target) {
  const bool holds = relation[0] == '<' ? value <= target : value >= target;
  fmt::print("  {:<44} {:>9.3f}  (target {} {:g}): {}\n", name, value, relation, target,
             holds ? "holds" : "DOES NOT HOLD");
}

RawMachine::RawMachine(const RawGuest& guest) {
  std::vector<UniqueFd> theirs;
  console_ = connected(theirs);
  port_ = connected(theirs);
  std::vector<int> fds = {theirs[0].get(), theirs[1].get()};
  if (guest.device_fd >= 0) fds.push_back(guest.device_fd);
  std::string machine = "microvm,acpi=on";
  if (guest.shared_ram) machine += ",memory-backend=ram";
  std::vector<std::string> words = {"qemu-system-x86_64",
                                    "-nodefaults",
                                    "-no-user-config",
                                    "-display",
                                    "none",
                                    "-no-reboot",
                                    "-M",
                                    machine,
                                    "-accel",
                                    "tcg",
                                    "-cpu",
                                    "max,-erms,-fsrm",
                                    "-m",
                                    std::to_string(guest.mem_mib),
                                    "-smp",
                                    "1",
                                    "-global",
                                    "virtio-mmio.force-legacy=false",
                                    "-kernel",
                                    guest.kernel,
                                    "-initrd",
                                    guest.initramfs,
                                    "-append",
                                    guest.cmdline,
                                    "-chardev",
                                    "socket,id=console,fd=10",
                                    "-serial",
                                    "chardev:console",
                                    "-chardev",
                                    "socket,id=port,fd=11",
                                    "-device",
                                    "virtio-serial-device",
                                    "-device",
                                    "virtserialport,chardev=port,name=bench"};
  if (guest.shared_ram)
    words.insert(
        words.end(),
        {"-object", fmt::format("memory-backend-memfd,id=ram,size={}M,share=on", guest.mem_mib)});
  words.insert(words.end(), guest.devices.begin(), guest.devices.end());
  qemu_.emplace(words, fds);
}

void RawMachine::wait_console(const std::string& text) {
  std::string seen;
  if (!read_until(console_.get(), "raw guest's console", text, seen))
    die("the raw guest ended early: " + seen);
}

std::string RawMachine::read_through(const std::string& text) {
  std::string seen;
  if (read_until(port_.get(), "raw guest's port", text, seen)) return seen;
  wait_console("why the raw guest's port has ended");
  return {};
}

void RawMachine::wait_ready() {
  if (receive(16) != "bench-ready-----") die("the raw guest said something else");
}

void RawMachine::request(char letter, uint64_t argument) {
  std::string bytes(1, letter);
  for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(argument >> shift);
  send(bytes);
}

void RawMachine::send(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t done = ::send(port_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (done < 0 && errno != EINTR) die("the raw guest does not take any more");
    if (done > 0) at += static_cast<size_t>(done);
  }
}

std::string RawMachine::receive(size_t size) {
  std::string bytes(size, '\0');
  for (size_t at = 0; at < size;) {
    wait_readable(port_.get(), "raw guest's port");
    const ssize_t got = read(port_.get(), bytes.data() + at, size - at);
    if (got <= 0) die("the raw guest's port has ended");
    at += static_cast<size_t>(got);
  }
  return bytes;
}

void RawMachine::drain(uint64_t size) {
  std::vector<char> chunk(256 * 1024);
  while (size > 0) {
    wait_readable(port_.get(), "raw guest's port");
    const ssize_t got = read(port_.get(), chunk.data(), std::min<uint64_t>(chunk.size(), size));
    if (got <= 0) die("the raw guest's port has ended");
    size -= static_cast<uint64_t>(got);
  }
}

}  // namespace vmette::bench
