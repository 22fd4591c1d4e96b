#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/machine.h"
#include "vmm/qemu/child.h"
#include "vmm/qemu/virtiofsd.h"

namespace vmette::vmm {

// How a share reaches the guest.
struct ShareChoice {
  ShareTransport transport = ShareTransport::k9p;  // never kAuto
  std::string reason;                              // why not the other; may be empty
};

// One virtiofsd, which serves one directory to the one machine that holds the other end of its
// socket, and ends with it. It is reached by no name: the socket had one that is no file's, and
// takes one connection, which is made before anybody else learns of it.
class FileServer {
 public:
  // Starts it and asks it for its first word. Throws std::system_error.
  FileServer(const Virtiofsd& virtiofsd, const Share& share);

  [[nodiscard]] const std::string& tag() const { return tag_; }
  // For QEMU; once, after answered().
  UniqueFd take_socket() { return std::move(socket_); }
  [[nodiscard]] int socket_fd() const { return socket_.get(); }
  // Whether the first word has come. An ended server never answers.
  bool answered();

  [[nodiscard]] int stderr_fd() const { return errors_.get(); }
  void on_stderr();
  // The last line that it wrote to stderr.
  [[nodiscard]] std::string last_words();

  // The wait status once the process has ended; never blocks.
  std::optional<int> reap() { return child_->reap(); }
  // Gives it the time to see that its machine has gone.
  void wait_end(std::chrono::milliseconds most);

 private:
  std::string tag_;
  UniqueFd socket_;
  UniqueFd errors_;
  std::optional<Child> child_;
  std::string error_text_;
  bool answered_ = false;
};

// The servers of one machine, and how each of its shares reaches the guest.
class FileServers {
 public:
  // Starts what can be started. May take the deadline of a server that does not answer. Throws
  // Failure virtiofs_unavailable when a share insists on virtio-fs.
  explicit FileServers(const std::vector<Share>& shares);
  // Waits a moment for the servers to end by themselves, then kills them.
  ~FileServers();
  FileServers(FileServers&&) = delete;
  FileServers& operator=(FileServers&&) = delete;

  // One for each share, in their order.
  [[nodiscard]] const std::vector<ShareChoice>& choices() const { return choices_; }
  // For QEMU, in the order of the shares; invalid for those over 9p. Once.
  std::vector<UniqueFd> take_sockets();

  [[nodiscard]] const std::vector<std::unique_ptr<FileServer>>& servers() const { return servers_; }

  // A server that has ended, told once.
  struct Loss {
    std::string text;     // for people
    bool killed = false;  // or failed, and did not leave because its machine did
  };
  std::optional<Loss> check();

 private:
  void start(const Share& share, size_t index);
  void await_answers();
  void give_up(size_t index, const std::string& reason);

  std::vector<ShareChoice> choices_;
  std::vector<bool> insists_;
  std::vector<std::unique_ptr<FileServer>> servers_;  // by share; null over 9p
  bool lost_ = false;
};

}  // namespace vmette::vmm
