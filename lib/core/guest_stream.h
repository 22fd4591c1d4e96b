#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "wire/codec.h"

namespace vmette::core {

// One stream of the control connection, from the frame that opens it to the frame that ends it: a
// command or a call. Session routes frames by stream id and keeps the stream until it is over.
// Reactor thread only.
class GuestStream {
 public:
  // Takes every frame. False: the guest is behind in reading; what can wait should wait for
  // resume(), so that a guest that reads nothing cannot make the host queue without end.
  using Send = std::function<bool(wire::Type, uint16_t flags, std::string_view payload)>;

  virtual ~GuestStream() = default;

  // Sends the frame that opens the stream. `send` may be used until detach().
  virtual void open(Send send) = 0;
  // A frame of this stream. Returns the rule that it breaks, or an empty string.
  virtual std::string handle(const wire::Frame& frame) = 0;
  // The guest has sent the last frame of this stream.
  [[nodiscard]] virtual bool over() const = 0;
  // The session has ended, or could not open the stream: nothing can be sent or will come.
  virtual void detach(const Error& why) = 0;
  // The machine's vCPUs stop or go on: time that passes meanwhile is nobody's timeout.
  virtual void pause(bool) {}
  // The guest has read what was queued for it.
  virtual void resume() {}
};

}  // namespace vmette::core
