#pragma once

#include <sys/types.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/line_channel.h"
#include "vmm/machine.h"

namespace vmette_test {

// Readable once the process has ended; works for any process, not only children.
vmette::UniqueFd watch_process(pid_t pid);

// False when the process still runs after `deadline`.
bool wait_for_end(const vmette::UniqueFd& process,
                  std::chrono::milliseconds deadline = std::chrono::seconds(30));

// False when the file has not come in time.
bool wait_for_file(const std::string& path);

// The library's end of one helper process. Every wait has a deadline and throws past it. A child
// of the test unless it is handed a socket. Destruction closes the socket and reaps the helper.
class Helper {
 public:
  using json = nlohmann::json;

  Helper();
  // Speaks to a helper that somebody else started.
  explicit Helper(vmette::UniqueFd socket) : channel_(std::move(socket), 4) {}
  ~Helper();
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  // Starts a helper with `socket` as its descriptor 3; returns its pid.
  static pid_t spawn(const vmette::UniqueFd& socket);

  [[nodiscard]] pid_t pid() const { return pid_; }

  // Sends a request and returns its answer; events on the way are kept.
  json call(const char* op, json fields = json::object());
  // Sends a request and returns its id.
  uint64_t send(const char* op, json fields = json::object());
  void send_raw(std::string_view line) { channel_.send(line); }
  json answer_to(const json& id);
  // The next event of that name, after what has been consumed before.
  json wait_for(std::string_view event);
  // True when the helper closes the socket, after any number of messages.
  bool closes();
  // Closes the library's end of the socket.
  void hang_up() { channel_ = vmette::vmm::LineChannel(vmette::UniqueFd()); }
  // Waits for the helper's end and returns its wait status.
  int wait();

  // What the console printed, and what the helper said it had dropped, as far as read.
  [[nodiscard]] const std::string& console() const { return console_; }
  [[nodiscard]] uint64_t dropped() const { return dropped_; }
  vmette::UniqueFd take_fd() { return channel_.take_fd(); }

 private:
  // Null when the socket has closed.
  json next();

  pid_t pid_ = -1;
  vmette::vmm::LineChannel channel_;
  uint64_t last_id_ = 0;
  std::vector<json> events_;
  std::string console_;
  uint64_t dropped_ = 0;
};

// A folder that is removed with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // Writes a file into the folder and returns its path.
  std::string write(const std::string& name, std::string_view bytes, int mode = 0600) const;

 private:
  std::string path_;
};

// The first bytes of an x86_64 bzImage: enough for the helper's look at the file.
std::string fake_bzimage();

// The kernel of this build's guest assets.
std::string guest_kernel();
// Their initramfs, with the agent in it.
std::string guest_initramfs();

// A machine with that kernel and nothing else: it panics for want of a root.
vmette::vmm::Machine bare_machine();

// A machine run by a shell script in QEMU's place, which finds QMP at 3, the control stream at 4
// and the console at 5. The helper's first command has the id 1.
vmette::vmm::Machine scripted_machine(const TemporaryFolder& folder, std::string_view script);

}  // namespace vmette_test
