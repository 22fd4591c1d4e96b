// A real machine whose guest is spoken to frame by frame, as the library does it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/helper.h"
#include "vmm/machine.h"
#include "wire/calls.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette_test {

// What has come on one stream.
struct GuestStream {
  bool started = false;
  std::string out;
  bool out_over = false;
  bool err_over = false;
  bool exited = false;
  vmette::wire::Exit exit;
  std::string result;  // payload of RESULT
  bool failed = false;
  vmette::wire::Failure failure;
};

class Guest {
 public:
  using Change = std::function<void(vmette::vmm::Machine&, vmette::wire::Setup&)>;

  // Boots a machine and sets it up; READY has come. `change` may add to both.
  explicit Guest(const Change& change = {});

  // A copy of the machine from the snapshot in `directory`. WAKE must come.
  Guest(const Guest& origin, const std::string& directory,
        const std::function<void(vmette::vmm::Machine&)>& change = {});

  // A share of `path`, mounted at `target`.
  static void add_share(vmette::vmm::Machine& machine, vmette::wire::Setup& setup,
                        const std::string& tag, const std::string& path, const std::string& target);

  void send(vmette::wire::Type type, std::string_view payload = {}, uint64_t stream = 0,
            uint16_t flags = 0);

  // Opens a command with a stream each for stdin, stdout and stderr; returns its stream.
  uint64_t begin(const std::string& line);
  uint64_t begin(vmette::wire::Exec request);
  uint64_t call(const vmette::wire::Call& request);
  // Runs a command to its end; returns what it printed, without the last line's end. Fails the test
  // unless it exits with 0.
  std::string run(const std::string& line);
  // Streams begin anew.
  void restart_streams();

  // Takes frames until `holds`; fails the test when that takes too long.
  void until(const std::function<bool()>& holds);
  // Runs a command until it exits with 0.
  void until_true(const std::string& line);

  // QUIESCE. True with QUIESCED, false with ERROR: the failure is in `stream(0)`.
  bool quiesce(uint32_t timeout_ms = 30'000);
  // WAKE. True with HELLO, which answers it, false with ERROR.
  bool wake(vmette::wire::Wake wake = {});

  [[nodiscard]] uint64_t last_stream() const { return last_stream_; }
  GuestStream& stream(uint64_t id) { return streams_[id]; }
  // The frames that have come, in order.
  [[nodiscard]] const std::vector<vmette::wire::Type>& log() const { return log_; }
  [[nodiscard]] const vmette::wire::Hello& hello() const { return hello_; }
  [[nodiscard]] const vmette::wire::Quiesced& quiesced() const { return quiesced_; }
  Helper& helper() { return helper_; }
  // Closed by the machine's end.
  [[nodiscard]] bool closed() const { return closed_; }
  // Closes the host's end of the control stream.
  void hang_up() { control_.reset(); }
  // Waits for the machine's end and returns its reason.
  std::string stopped();

 private:
  bool receive();
  void take(const vmette::wire::Frame& frame);
  void take_data(GuestStream& stream, const vmette::wire::Frame& frame);

  void start();

  Helper helper_;
  vmette::vmm::Machine machine_;
  std::string cmdline_;  // whole
  vmette::UniqueFd control_;
  vmette::wire::Decoder decoder_{vmette::wire::Sender::kGuest};
  std::map<uint64_t, GuestStream> streams_;
  std::vector<vmette::wire::Type> log_;
  vmette::wire::Hello hello_;
  vmette::wire::Quiesced quiesced_;
  size_t hellos_ = 0;
  bool ready_ = false;
  bool quiet_ = false;  // QUIESCED has come: only HELLO or ERROR may
  bool closed_ = false;
  uint64_t last_stream_ = 0;
  uint64_t wakes_ = 0;
};

}  // namespace vmette_test
