// Frames of the guest protocol (docs/guest-protocol.md): the same code runs in the library and in
// the guest agent. Nothing here does I/O, keeps a lock or trusts the peer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vmette::wire {

// Raised only when an old peer could misread a new frame. The lower peer wins.
inline constexpr uint32_t kGeneration = 1;
// The oldest generation this build still speaks.
inline constexpr uint32_t kOldestGeneration = 1;

inline constexpr size_t kHeaderBytes = 16;
// Largest payload of a DATA frame, either way.
inline constexpr uint32_t kMaxDataBytes = 64 * 1024;
// Largest message that the guest may send. Small: the guest is hostile.
inline constexpr uint32_t kMaxGuestMessageBytes = 256 * 1024;
// Largest message that the host may send; holds the longest argv plus environment Linux accepts.
inline constexpr uint32_t kMaxHostMessageBytes = 4 * 1024 * 1024;
// Bytes that a sender may have in flight per stream and channel before it needs credit: some
// milliseconds' worth, which is what a host's scheduler may let pass.
inline constexpr uint32_t kInitialCredit = 1024 * 1024;

// Retired numbers stay reserved.
enum class Type : uint16_t {
  kHello = 0x01,  // guest -> host, message: Hello
  kSetup = 0x02,  // host -> guest, message: Setup
  kReady = 0x03,  // guest -> host, message: Ready
  kError = 0x04,  // guest -> host, message: Failure; stream 0: set-up, else the stream that failed
  kShutdown = 0x05,  // host -> guest, message: Shutdown
  kBye = 0x06,       // guest -> host, empty: file systems are flushed, the machine may be cut off
  kExec = 0x10,      // host -> guest, message: Exec; opens the stream
  kStarted = 0x11,   // guest -> host, message: Started
  kData = 0x12,      // both ways, raw bytes; flags: channel, kFlagEof
  kCredit = 0x13,    // both ways, u32 bytes granted; flags: channel
  kExit = 0x14,      // guest -> host, message: Exit
  kSignal = 0x15,    // host -> guest, message: Signal
  kResize = 0x16,    // host -> guest, message: WindowSize
  kClose = 0x17,     // host -> guest, empty; flags: channel whose read end the host has closed
  kCall = 0x20,      // host -> guest, message: a map with "op"; opens the stream
  kResult = 0x21,    // guest -> host, message: a map; ends the call
  kQuiesce = 0x30,   // host -> guest, message: Quiesce; freezes the guest for a save
  kQuiesced = 0x31,  // guest -> host, message: Quiesced; the guest's last word before a save
  kWake = 0x32,      // host -> guest, message: Wake; answered by HELLO
  kThaw = 0x33,      // host -> guest, empty: ends what a WAKE with `hold` has kept frozen
};

// Low byte of the flags of DATA, CREDIT and CLOSE.
enum class Channel : uint8_t { kStdin = 0, kStdout = 1, kStderr = 2 };
inline constexpr uint16_t kFlagChannelMask = 0x00ff;
// On DATA: nothing follows on this channel. May come with bytes or alone.
inline constexpr uint16_t kFlagEof = 0x0100;

struct Frame {
  Type type{};
  uint16_t flags = 0;
  uint64_t stream = 0;
  std::span<const std::byte> payload;  // valid until the decoder is touched again

  [[nodiscard]] uint8_t channel() const { return static_cast<uint8_t>(flags & kFlagChannelMask); }
  [[nodiscard]] bool eof() const { return (flags & kFlagEof) != 0; }
};

enum class Sender : uint8_t { kGuest, kHost };

// Cuts a byte stream into frames. Give it bytes through space() and fill(), then call next() until
// it returns kMore. Memory: one buffer that holds the largest frame the header of which has been
// accepted, never more than the sender's cap. After kBroken it stays broken.
class Decoder {
 public:
  enum class Status : uint8_t { kFrame, kMore, kBroken };

  explicit Decoder(Sender sender);

  // Room for at least one byte; read into it and report how much came with fill().
  std::span<std::byte> space();
  void fill(size_t bytes);

  Status next(Frame& frame);

  // Why the stream is broken: one line, for the session's end message.
  [[nodiscard]] const std::string& error() const { return error_; }
  // Bytes received that are not part of a returned frame.
  [[nodiscard]] size_t pending() const { return end_ - begin_; }

 private:
  Status broken(std::string why);
  [[nodiscard]] bool check_header(uint32_t length, uint16_t type, uint16_t flags);

  Sender sender_;
  std::string buffer_;
  size_t begin_ = 0;  // first byte not yet returned
  size_t end_ = 0;    // one past the last byte received
  bool broken_ = false;
  std::string error_;
};

// The 16 bytes before a payload of `length` bytes.
void put_header(std::byte* out, uint32_t length, Type type, uint16_t flags, uint64_t stream);

// Appends a whole frame.
void append_frame(std::string& out, Type type, uint16_t flags, uint64_t stream,
                  std::string_view payload);

// The flags of a DATA, CREDIT or CLOSE frame on that channel.
constexpr uint16_t channel_flags(Channel channel, bool eof = false) {
  return static_cast<uint16_t>(static_cast<uint16_t>(channel) | (eof ? kFlagEof : 0));
}

// Payload of a CREDIT frame.
std::string encode_credit(uint32_t bytes);
// Returns 0 for a malformed payload (0 is never a legal grant).
uint32_t decode_credit(std::span<const std::byte> payload);

// True for types that this generation knows and that `sender` may send.
bool may_send(Sender sender, Type type);

// The name of a type for messages and logs ("EXEC", or "0x7f" for an unknown one).
std::string type_name(uint16_t type);

}  // namespace vmette::wire
