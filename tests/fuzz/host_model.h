// What the library sends to a guest must be legal, whatever that guest does. Follows both
// directions of the control stream.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>

#include "script.h"
#include "wire/calls.h"
#include "wire/codec.h"

namespace vmette_fuzz {

namespace wire = vmette::wire;

class HostModel {
 public:
  void guest_says(std::string_view bytes) {
    feed(guest_, bytes, [this](const wire::Frame& frame) {
      Stream& stream = streams_[frame.stream];
      if (frame.type == wire::Type::kCredit) stream.credit += wire::decode_credit(frame.payload);
      if (frame.type == wire::Type::kData && frame.channel() < 3)
        stream.ungranted[frame.channel()] += frame.payload.size();
    });
  }
  void host_says(std::string_view bytes) {
    require(feed(host_, bytes, [this](const wire::Frame& frame) { take(frame); }),
            "the host's framing is legal");
  }

 private:
  struct Stream {
    bool opened = false;
    bool call = false;
    bool sends = false;   // a call with content for the guest
    bool brings = false;  // a call with content from the guest
    bool closed = false;  // a call that was given up
    uint64_t credit = wire::kInitialCredit;
    bool over = false;           // EOF on stdin was sent
    uint64_t ungranted[3] = {};  // bytes of the guest that were not granted again
    bool closed_channel[3] = {};
  };

  // False once the bytes are no frames any more.
  template <class Take>
  static bool feed(wire::Decoder& decoder, std::string_view bytes, Take take) {
    wire::Frame frame;
    while (!bytes.empty()) {
      const auto room = decoder.space();
      const size_t size = std::min(room.size(), bytes.size());
      std::copy_n(reinterpret_cast<const std::byte*>(bytes.data()), size, room.data());
      bytes.remove_prefix(size);
      decoder.fill(size);
      auto status = decoder.next(frame);
      for (; status == wire::Decoder::Status::kFrame; status = decoder.next(frame)) take(frame);
      if (status == wire::Decoder::Status::kBroken) return false;
    }
    return true;
  }

  void take(const wire::Frame& frame) {
    if (frame.stream == 0) return;
    Stream& stream = streams_[frame.stream];
    if (frame.type == wire::Type::kExec || frame.type == wire::Type::kCall)
      return take_opening(stream, frame);
    require(stream.opened, "a stream begins with what opens it");
    require(!stream.closed, "nothing follows the CLOSE of a call");
    switch (frame.type) {
      case wire::Type::kData:
        return take_data(stream, frame);
      case wire::Type::kCredit:
        return take_credit(stream, frame);
      case wire::Type::kClose:
        require(frame.channel() < 3 && !stream.closed_channel[frame.channel()],
                "a channel is closed once");
        stream.closed_channel[frame.channel()] = true;
        stream.closed = stream.call;
        return;
      default:
        require(!stream.call, "signals and sizes are for commands");
    }
  }

  void take_opening(Stream& stream, const wire::Frame& frame) {
    require(frame.stream > last_stream_, "streams are opened in order");
    last_stream_ = frame.stream;
    stream.opened = true;
    stream.call = frame.type == wire::Type::kCall;
    if (!stream.call) return;
    const auto call = wire::decode<wire::Call>(frame.payload);
    require(call.value.has_value(), "a CALL decodes");
    stream.sends = call.value->op == wire::op::kWrite;
    stream.brings = call.value->op == wire::op::kRead || call.value->op == wire::op::kList;
  }

  static void take_data(Stream& stream, const wire::Frame& frame) {
    require(!stream.call || stream.sends, "content is sent with a call that has some");
    require(frame.channel() == 0, "the host sends stdin only");
    require(!stream.over, "nothing follows the end of stdin");
    require(frame.payload.size() <= stream.credit, "the host keeps to its credit");
    stream.credit -= frame.payload.size();
    stream.over = frame.eof();
  }

  static void take_credit(Stream& stream, const wire::Frame& frame) {
    const uint8_t channel = frame.channel();
    require(channel == 1 || (channel == 2 && !stream.call), "the host grants credit for output");
    require(!stream.call || stream.brings, "credit is granted for a call that brings something");
    const uint32_t bytes = wire::decode_credit(frame.payload);
    require(bytes != 0 && bytes <= stream.ungranted[channel],
            "the host grants what it has consumed");
    stream.ungranted[channel] -= bytes;
  }

  wire::Decoder host_{wire::Sender::kHost};
  wire::Decoder guest_{wire::Sender::kGuest};
  uint64_t last_stream_ = 0;
  std::map<uint64_t, Stream> streams_;
};

}  // namespace vmette_fuzz
