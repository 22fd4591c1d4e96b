#include "wire/codec.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace vmette::wire {
namespace {

struct TypeRule {
  const char* name;
  Type type;
  bool from_guest;
  bool from_host;
};

constexpr TypeRule kRules[] = {
    {"HELLO", Type::kHello, true, false},       {"SETUP", Type::kSetup, false, true},
    {"READY", Type::kReady, true, false},       {"ERROR", Type::kError, true, false},
    {"SHUTDOWN", Type::kShutdown, false, true}, {"BYE", Type::kBye, true, false},
    {"EXEC", Type::kExec, false, true},         {"STARTED", Type::kStarted, true, false},
    {"DATA", Type::kData, true, true},          {"CREDIT", Type::kCredit, true, true},
    {"EXIT", Type::kExit, true, false},         {"SIGNAL", Type::kSignal, false, true},
    {"RESIZE", Type::kResize, false, true},     {"CLOSE", Type::kClose, false, true},
    {"CALL", Type::kCall, false, true},         {"RESULT", Type::kResult, true, false},
    {"QUIESCE", Type::kQuiesce, false, true},   {"QUIESCED", Type::kQuiesced, true, false},
    {"WAKE", Type::kWake, false, true},         {"THAW", Type::kThaw, false, true},
};

const TypeRule* find_rule(uint16_t type) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules), [&](const TypeRule& rule) {
    return static_cast<uint16_t>(rule.type) == type;
  });
  return found == std::end(kRules) ? nullptr : found;
}

template <class T>
T get_le(const std::byte* in) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | static_cast<T>(static_cast<T>(in[i]) << (8 * i)));
  return value;
}

template <class T>
void put_le(std::byte* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<std::byte>((value >> (8 * i)) & 0xff);
}

// Room for two full DATA frames: a reader then seldom has to move bytes.
constexpr size_t kInitialBuffer = 2 * (kHeaderBytes + kMaxDataBytes);

}  // namespace

bool may_send(Sender sender, Type type) {
  const TypeRule* rule = find_rule(static_cast<uint16_t>(type));
  if (rule == nullptr) return false;
  return sender == Sender::kGuest ? rule->from_guest : rule->from_host;
}

std::string type_name(uint16_t type) {
  if (const TypeRule* rule = find_rule(type)) return rule->name;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string name = "0x";
  for (int shift = 12; shift >= 0; shift -= 4) name += kDigits[(type >> shift) & 0xf];
  return name;
}

Decoder::Decoder(Sender sender) : sender_(sender), buffer_(kInitialBuffer, '\0') {}

std::span<std::byte> Decoder::space() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    // What one large message needed is not kept for the life of the stream.
    if (buffer_.size() > kInitialBuffer) buffer_ = std::string(kInitialBuffer, '\0');
  }
  if (end_ == buffer_.size()) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  auto* base = reinterpret_cast<std::byte*>(buffer_.data());
  return {base + end_, buffer_.size() - end_};
}

void Decoder::fill(size_t bytes) {
  end_ += std::min(bytes, buffer_.size() - end_);
}

Decoder::Status Decoder::broken(std::string why) {
  broken_ = true;
  error_ = std::move(why);
  return Status::kBroken;
}

bool Decoder::check_header(uint32_t length, uint16_t type, uint16_t flags) {
  const char* who = sender_ == Sender::kGuest ? "guest" : "host";
  if (!may_send(sender_, static_cast<Type>(type))) {
    broken(std::string("the ") + who + " sent a frame of type " + type_name(type) +
           ", which it must not send");
    return false;
  }
  const bool data = static_cast<Type>(type) == Type::kData;
  const uint32_t message_cap =
      sender_ == Sender::kGuest ? kMaxGuestMessageBytes : kMaxHostMessageBytes;
  const uint32_t cap = data ? kMaxDataBytes : message_cap;
  if (length > cap) {
    broken(std::string("the ") + who + " announced a " + type_name(type) + " frame of " +
           std::to_string(length) + " bytes; the limit is " + std::to_string(cap));
    return false;
  }
  const bool has_channel =
      data || static_cast<Type>(type) == Type::kCredit || static_cast<Type>(type) == Type::kClose;
  const uint16_t allowed =
      static_cast<uint16_t>((has_channel ? kFlagChannelMask : 0) | (data ? kFlagEof : 0));
  const bool bad_channel = has_channel && (flags & kFlagChannelMask) > 2;
  if ((flags & ~allowed) != 0 || bad_channel) {
    broken(std::string("the ") + who + " sent a " + type_name(type) + " frame with flags " +
           std::to_string(flags));
    return false;
  }
  return true;
}

Decoder::Status Decoder::next(Frame& frame) {
  if (broken_) return Status::kBroken;
  const size_t have = end_ - begin_;
  if (have < kHeaderBytes) return Status::kMore;
  const auto* head = reinterpret_cast<const std::byte*>(buffer_.data()) + begin_;
  const auto length = get_le<uint32_t>(head);
  const auto type = get_le<uint16_t>(head + 4);
  const auto flags = get_le<uint16_t>(head + 6);
  if (!check_header(length, type, flags)) return Status::kBroken;
  const size_t whole = kHeaderBytes + length;
  if (have < whole) {
    // Grows only past a header that has been checked against the cap.
    if (whole > buffer_.size()) buffer_.resize(whole);
    if (begin_ + whole > buffer_.size()) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, have);
      begin_ = 0;
      end_ = have;
    }
    return Status::kMore;
  }
  frame.type = static_cast<Type>(type);
  frame.flags = flags;
  frame.stream = get_le<uint64_t>(head + 8);
  frame.payload = {head + kHeaderBytes, length};
  begin_ += whole;
  return Status::kFrame;
}

void put_header(std::byte* out, uint32_t length, Type type, uint16_t flags, uint64_t stream) {
  put_le(out, length);
  put_le(out + 4, static_cast<uint16_t>(type));
  put_le(out + 6, flags);
  put_le(out + 8, stream);
}

void append_frame(std::string& out, Type type, uint16_t flags, uint64_t stream,
                  std::string_view payload) {
  std::byte header[kHeaderBytes];
  put_header(header, static_cast<uint32_t>(payload.size()), type, flags, stream);
  out.append(reinterpret_cast<const char*>(header), kHeaderBytes);
  out.append(payload);
}

std::string encode_credit(uint32_t bytes) {
  std::byte raw[4];
  put_le(raw, bytes);
  return {reinterpret_cast<const char*>(raw), sizeof raw};
}

uint32_t decode_credit(std::span<const std::byte> payload) {
  return payload.size() == 4 ? get_le<uint32_t>(payload.data()) : 0;
}

}  // namespace vmette::wire
