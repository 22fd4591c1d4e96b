// The control stream on its descriptor: frames in, the output queue out.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "base/unique_fd.h"
#include "loop.h"
#include "output_queue.h"
#include "wire/codec.h"

namespace vmette::agent {

// Owns the port. Works for a virtio-serial port and for a stream socket alike.
class ControlStream final : private Watcher, private Alarm {
 public:
  class Peer {
   public:
    // One frame from the host; the payload is valid during the call.
    virtual void frame(const wire::Frame& frame) = 0;
    // The host broke the protocol; nothing more is read.
    virtual void broken(std::string_view why) = 0;
    // The host has been gone for a second.
    virtual void lost() = 0;

   protected:
    ~Peer() = default;
  };

  // Borrows loop and peer for its life.
  ControlStream(Loop& loop, UniqueFd port, Peer& peer);

  void send(wire::Type type, uint16_t flags, uint64_t stream, std::string_view payload) {
    output_.push(type, flags, stream, payload);
  }
  OutputQueue& output() { return output_; }

  // Reads and writes what is possible now, bounded. True when there is more to do at once.
  bool pump();
  // From now on `loop` watches the port and no other one does.
  void move_to(Loop& loop);
  // From now on frames are left unread.
  void stop_reading() { reading_ = false; }
  // Waits until everything queued is written, at most `timeout_ms`. False when it is not.
  bool flush(int timeout_ms);

 private:
  // Output waiting in the agent beyond which the host's frames are left in the port.
  static constexpr size_t kMaxPendingOutput = 1024 * 1024;
  static constexpr uint64_t kLostAfterUs = 1000000;

  void ready(uint32_t events) override;
  void due() override;
  void hung_up();
  void read_some();
  void deliver();
  void write_some();
  ssize_t put(const OutputQueue::Front& front);
  void wait_writable();

  void watch_port();

  Loop* loop_;
  UniqueFd port_;
  Peer& peer_;
  wire::Decoder decoder_{wire::Sender::kHost};
  OutputQueue output_;
  bool reading_ = true;
  bool readable_ = true;
  bool writable_ = true;    // a write may take something; if not, the loop tells when
  bool connected_ = false;  // the host has been there
};

}  // namespace vmette::agent
