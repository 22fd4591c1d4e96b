// Small helpers around system calls that every part of the agent uses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wire/messages.h"

namespace vmette::agent {

// Guest uptime in microseconds (CLOCK_BOOTTIME), the clock of every time in the protocol.
uint64_t uptime_us();

// The whole file, or nothing with errno set; a file longer than `cap` bytes is EFBIG.
std::optional<std::string> read_file(int directory, const char* path, size_t cap = 65536);
std::optional<std::string> read_fd(int fd, size_t cap);

// Writes in one call, as kernel files want it. 0 or an errno.
int write_file(int directory, const char* path, std::string_view text);

// One line on the machine's console.
void console(std::string_view line);

// One line on the console, then the kernel panics because PID 1 has ended: the host sees at once
// that the agent is gone.
[[noreturn]] void die(std::string_view why);

// "No such file or directory" and the like, never localised.
std::string error_text(int error);

// A step of the set-up that could not be done; travels to the host as ERROR on stream 0.
class SetupError : public std::exception {
 public:
  SetupError(std::string stage, int error, std::string path, std::string message)
      : failure_{std::move(stage), error, std::move(path), std::move(message)} {}
  [[nodiscard]] const char* what() const noexcept override { return failure_.message.c_str(); }
  [[nodiscard]] const wire::Failure& failure() const { return failure_; }

 private:
  wire::Failure failure_;
};

}  // namespace vmette::agent
