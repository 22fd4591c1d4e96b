// A raw QEMU with the command line that vmette's machine has, and a bare guest in it: the floor
// that the benchmarks compare with, measured in the same run.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "child_process.h"

namespace vmette::bench {

using Clock = std::chrono::steady_clock;

// What runs in the raw machine.
struct RawGuest {
  std::string kernel;
  std::string initramfs;
  std::string cmdline;  // of a vmette machine, with bench=... added
  int mem_mib = 512;
  bool shared_ram = false;                // the memory is a file that a virtiofsd can map as well
  std::vector<std::string> devices = {};  // further arguments of QEMU
  int device_fd = -1;                     // what they use as descriptor 12
};

// Kills QEMU on destruction. Methods end the program with a message when something fails.
class RawMachine {
 public:
  explicit RawMachine(const RawGuest& guest);

  // Reads the console until the text has come.
  void wait_console(const std::string& text);
  // Reads the port until the text has come; returns all that came.
  std::string read_through(const std::string& text);
  // One request of bench/guest/init.c.
  void request(char letter, uint64_t argument);
  void send(const std::string& bytes);
  std::string receive(size_t size);
  // Reads and drops.
  void drain(uint64_t size);
  // Reads until the guest has said that it serves.
  void wait_ready();

 private:
  UniqueFd console_;
  UniqueFd port_;
  std::optional<ChildProcess> qemu_;
};

// A newc archive that holds one executable as /init and a console, to stand alone or to be put
// behind another archive.
std::string init_archive(const std::string& program);

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& bytes);

double median(std::vector<double> values);
double seconds_since(Clock::time_point start);
// Prints "name: value (target: ...): holds|DOES NOT HOLD".
void verdict(const std::string& name, double value, const char* relation, double target);

[[noreturn]] void die(const std::string& why);

}  // namespace vmette::bench
