// Every message decoder of either side on the same bytes. What decodes must encode to something
// that decodes to the same.
#include "wire/messages.h"

#include <algorithm>
#include <span>

#include "script.h"
#include "wire/calls.h"
#include "wire/codec.h"

namespace wire = vmette::wire;
using vmette_fuzz::require;

namespace {

wire::Bytes as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <class T>
void round_trip(wire::Bytes payload) {
  const auto first = wire::decode<T>(payload);
  require(first.value.has_value() == first.error.empty(), "a message decodes or says why not");
  if (!first.value) return;
  const std::string once = encode(*first.value);
  const auto second = wire::decode<T>(as_bytes(once));
  require(second.value.has_value(), "what was encoded decodes");
  require(encode(*second.value) == once, "an encoding is stable");
}

// As a receiver of either side sees them: in pieces of any size.
void frames(wire::Sender sender, std::string_view bytes, size_t piece) {
  wire::Decoder decoder(sender);
  wire::Frame frame;
  while (!bytes.empty()) {
    const auto room = decoder.space();
    const size_t size = std::min({room.size(), piece, bytes.size()});
    require(size > 0, "a decoder always has room");
    std::copy_n(reinterpret_cast<const std::byte*>(bytes.data()), size, room.data());
    bytes.remove_prefix(size);
    decoder.fill(size);
    auto status = decoder.next(frame);
    for (; status == wire::Decoder::Status::kFrame; status = decoder.next(frame)) {
      require(wire::may_send(sender, frame.type), "a frame is one that its sender may send");
      require(frame.payload.size() <= wire::kMaxHostMessageBytes, "a payload is below its cap");
    }
    require((status == wire::Decoder::Status::kBroken) == !decoder.error().empty(),
            "a broken stream says why");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmette_fuzz::Script script(data, size);
  const uint8_t shape = script.u8();
  const std::string_view text(reinterpret_cast<const char*>(data) + (size > 0 ? 1 : 0),
                              size > 0 ? size - 1 : 0);
  if ((shape & 1) != 0) {
    const size_t piece = size_t{1} << (shape >> 4);
    frames(wire::Sender::kGuest, text, piece);
    frames(wire::Sender::kHost, text, piece);
    return 0;
  }
  const auto payload = as_bytes(text);
  round_trip<wire::Hello>(payload);
  round_trip<wire::Setup>(payload);
  round_trip<wire::Ready>(payload);
  round_trip<wire::Failure>(payload);
  round_trip<wire::Exec>(payload);
  round_trip<wire::Started>(payload);
  round_trip<wire::Exit>(payload);
  round_trip<wire::Signal>(payload);
  round_trip<wire::WindowSize>(payload);
  round_trip<wire::Shutdown>(payload);
  round_trip<wire::Quiesce>(payload);
  round_trip<wire::Quiesced>(payload);
  round_trip<wire::Wake>(payload);
  round_trip<wire::Call>(payload);
  round_trip<wire::FileInfo>(payload);
  round_trip<wire::CallResult>(payload);
  return 0;
}
