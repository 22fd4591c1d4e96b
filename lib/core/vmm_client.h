#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "core/error.h"
#include "core/helper_process.h"
#include "vmm/line_channel.h"

namespace vmette::core {

// The text of a field; empty when there is none, or something else.
std::string text_field(const nlohmann::json& map, const char* key);

// The library's end of docs/vmm-protocol.md: one helper, one machine. Reactor thread only.
//
// Its listener hears of everything through the callbacks; `gone` is the last one: the helper has
// ended and has been collected, and with it the hypervisor.
class VmmClient : public std::enable_shared_from_this<VmmClient> {
 public:
  struct Stopped {
    std::string reason;   // poweroff, reset, killed, exited
    std::string message;  // the hypervisor's last words, may be empty
  };
  // A disk could not be read or written; told once for each.
  struct DiskError {
    std::string serial;
    bool full = false;  // no room on the host
    std::string reason;
  };
  struct Callbacks {
    std::function<void(UniqueFd)> channel;     // the control stream
    std::function<void(std::string)> console;  // bytes
    std::function<void(DiskError)> disk_error;
    std::function<void()> continued;        // the vCPUs run again, the save goes on
    std::function<void(Stopped)> stopped;   // the hypervisor has ended
    std::function<void(Error)> failed;      // helper or its protocol failed
    std::function<void(std::string)> gone;  // how the helper ended
  };
  // The answer of one request.
  using Answer = std::function<void(Result<nlohmann::json>)>;

  VmmClient(boost::asio::io_context& io, HelperProcess helper, Callbacks callbacks);

  void start();

  // `answer` is called once, unless the client is ended first.
  void request(const char* op, nlohmann::json fields, Answer answer);

  // Ends the helper by closing its socket, and kills it when it has not gone in time. Only `gone`
  // is called afterwards. Idempotent.
  void end();

 private:
  void wait_readable();
  void wait_writable();
  void read_lines();
  void handle(const std::string& line);
  void handle_event(const nlohmann::json& message);
  void fail(const std::string& why);
  void watch_process();

  HelperProcess helper_;
  Callbacks callbacks_;
  vmm::LineChannel channel_;
  FdMark mark_;  // of the channel's socket
  // Watch descriptors that other members own; released, never closed.
  boost::asio::posix::stream_descriptor socket_watch_;
  boost::asio::posix::stream_descriptor process_watch_;
  boost::asio::steady_timer kill_timer_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Answer> pending_;
  bool writing_ = false;
  bool ended_ = false;
};

}  // namespace vmette::core
