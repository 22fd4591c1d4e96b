// A raw QEMU with the command line that vmette's machine has, and a bare guest in it: the floor
// that the benchmarks compare with, measured in the same run.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace vmette::bench {

using Clock = std::chrono::steady_clock;

// What runs in the raw machine.
struct RawGuest {
  std::string kernel;
  std::string initramfs;
  std::string cmdline;  // of a vmette machine, with bench=... added
  int mem_mib = 512;
};

// Kills QEMU on destruction. Methods end the program with a message when something fails.
class RawMachine {
 public:
  explicit RawMachine(const RawGuest& guest);
  ~RawMachine();
  RawMachine(const RawMachine&) = delete;
  RawMachine& operator=(const RawMachine&) = delete;

  // Reads the console until the text has come.
  void wait_console(const std::string& text);
  // One request of bench/guest/init.c.
  void request(char letter, uint64_t argument);
  void send(const std::string& bytes);
  std::string receive(size_t size);
  // Reads and drops.
  void drain(uint64_t size);
  // Reads until the guest has said that it serves.
  void wait_ready();

 private:
  pid_t pid_ = -1;
  UniqueFd console_;
  UniqueFd port_;
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
