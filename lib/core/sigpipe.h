#pragma once

#include <csignal>

namespace vmette::core {

// Blocks SIGPIPE in the calling thread, which must also be the one that destroys this: what it
// writes meanwhile to a reader that is gone fails with EPIPE and has no other effect.
class NoSigpipe {
 public:
  NoSigpipe();
  ~NoSigpipe();
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace vmette::core
