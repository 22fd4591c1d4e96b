#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/progress.h"

namespace vmette::core {

// SHA-256 of what is added, a piece at a time.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void add(std::string_view bytes);
  // 64 lower-case hexadecimal digits. Nothing may be added afterwards.
  std::string finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_of(std::string_view bytes);

// Of all that the open file holds, from its first byte; its position is left alone. `name` is for
// messages and the step "digest NAME" of the progress, which may be empty and which may cancel.
Result<std::string> sha256_of_file(int fd, const std::string& name, const Progress& progress = {});
Result<std::string> sha256_of_file(const std::string& path, const Progress& progress = {});

// True for 64 lower-case hexadecimal digits.
bool is_sha256(std::string_view text);

}  // namespace vmette::core
