#include "core/guest_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace vmette::core {
namespace {

using wire::Channel;
using wire::Type;
using Content = CallSpec::Content;

// Granted in pieces of at least this size.
constexpr size_t kGrantBytes = wire::kInitialCredit / 4;
// Linux has none above.
constexpr int32_t kHighestErrno = 4095;

}  // namespace

GuestCall::GuestCall(boost::asio::io_context& io, CallSpec spec)
    : io_(io), spec_(std::move(spec)) {}

Result<std::shared_ptr<GuestCall>> GuestCall::create(boost::asio::io_context& io, CallSpec spec) {
  std::shared_ptr<GuestCall> call(new GuestCall(io, std::move(spec)));
  if (!call->done_.valid()) return os_error("a call: no descriptor for its state", EMFILE);
  BOOST_OUTCOME_TRYV(call->make_pipe_ends());
  return call;
}

Result<void> GuestCall::make_pipe_ends() {
  if (spec_.content == Content::kFromPipe) {
    auto ends = make_pipe(Pumped::kRead);
    if (!ends) return ends.error();
    from_ = std::make_shared<PipeReader>(
        io_, std::move(ends.value().read),
        PipeReader::Callbacks{[this](wire::Bytes bytes) {
                                send_content(
                                    {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
                              },
                              [this] {
                                if (!stopped_) send_end();
                              }});
    caller_fd_ = std::move(ends.value().write);
  } else if (spec_.content == Content::kToPipe) {
    auto ends = make_pipe(Pumped::kWrite);
    if (!ends) return ends.error();
    to_ = std::make_shared<PipeWriter>(
        io_, std::move(ends.value().write),
        PipeWriter::Callbacks{[this](size_t bytes) { consumed(bytes); },
                              [this] {
                                to_.reset();
                                cancel(Error(Code::kCancelled, "nobody reads the content any more",
                                             spec_.call.op));
                              }});
    caller_fd_ = std::move(ends.value().read);
  }
  return success();
}

std::optional<Result<wire::CallResult>> GuestCall::outcome() const {
  const std::lock_guard lock(mutex_);
  return outcome_;
}

int GuestCall::caller_fd() const {
  const std::lock_guard lock(mutex_);
  return caller_fd_.get();
}

HeldFd GuestCall::take_fd() {
  const std::lock_guard lock(mutex_);
  return std::move(caller_fd_);
}

bool GuestCall::brings() const {
  return spec_.content == Content::kToSink || spec_.content == Content::kToPipe;
}

bool GuestCall::sends() const {
  return spec_.content == Content::kFromBytes || spec_.content == Content::kFromPipe;
}

void GuestCall::open(Send send) {
  state_ = State::kOpen;
  send_ = std::move(send);
  transmit(Type::kCall, 0, wire::encode(spec_.call));
  if (to_) to_->start();
  if (from_) from_->allow(credit_);
  if (spec_.content == Content::kFromBytes) send_bytes();
}

std::string GuestCall::handle(const wire::Frame& frame) {
  switch (frame.type) {
    case Type::kResult:
      return handle_result(frame);
    case Type::kError:
      return handle_error(frame);
    case Type::kData:
      return handle_data(frame);
    case Type::kCredit:
      return handle_credit(frame);
    default:
      return fmt::format("it sent {} on a call's stream",
                         wire::type_name(static_cast<uint16_t>(frame.type)));
  }
}

std::string GuestCall::handle_result(const wire::Frame& frame) {
  auto message = wire::decode<wire::CallResult>(frame.payload);
  if (!message.value) return "its RESULT is wrong: " + message.error;
  if (!cancelled_ && spec_.content != Content::kNone) {
    if (!ended_) return "it sent RESULT before the end of the content";
    if (message.value->bytes != bytes_)
      return fmt::format("its RESULT says {} bytes of {}", message.value->bytes, bytes_.load());
  }
  state_ = State::kOver;
  settle(std::move(*message.value));
  return {};
}

std::string GuestCall::handle_error(const wire::Frame& frame) {
  const auto message = wire::decode<wire::Failure>(frame.payload);
  if (!message.value) return "its ERROR is wrong: " + message.error;
  const wire::Failure& failure = *message.value;
  const bool known = failure.error > 0 && failure.error <= kHighestErrno;
  const int32_t number = known ? failure.error : EIO;
  const std::string& path = failure.path.empty() ? spec_.call.path : failure.path;
  state_ = State::kOver;
  settle(
      Error(Code::kFile,
            one_line(fmt::format("{} {}: {}", spec_.call.op, path,
                                 failure.message.empty() ? errno_text(number) : failure.message)),
            spec_.call.op, number));
  return {};
}

std::string GuestCall::handle_data(const wire::Frame& frame) {
  if (!brings() || static_cast<Channel>(frame.channel()) != Channel::kStdout)
    return "it sent DATA that a call does not have";
  if (ended_) return "it sent DATA after the end of the content";
  const auto size = static_cast<uint32_t>(frame.payload.size());
  if (size > credit_)
    return fmt::format("it sent {} bytes with {} bytes of credit left", size, credit_);
  credit_ -= size;
  ended_ = frame.eof();
  if (cancelled_) return {};
  bytes_ += size;
  if (spec_.content == Content::kToSink) return give_to_sink(frame);
  if (to_ && size != 0) to_->write(frame.payload);
  return {};
}

std::string GuestCall::give_to_sink(const wire::Frame& frame) {
  auto taken = spec_.sink->take(frame.payload);
  if (taken && ended_) taken = spec_.sink->end();
  if (!taken) {
    if (taken.error().code == Code::kGuest) return taken.error().message;
    cancel(taken.error());
    return {};
  }
  consumed(frame.payload.size());
  return {};
}

std::string GuestCall::handle_credit(const wire::Frame& frame) {
  const uint32_t bytes = wire::decode_credit(frame.payload);
  if (!sends() || frame.channel() != 0 || bytes == 0 || bytes > wire::kInitialCredit - credit_)
    return "it sent a CREDIT that is none";
  credit_ += bytes;
  kept_back_ += bytes;
  if (!held_) go_on();
  return {};
}

// As much of the given bytes as the guest's credit allows, and their end.
void GuestCall::send_bytes() {
  const std::string_view bytes = spec_.bytes;
  while (sent_ < bytes.size() && credit_ > 0 && !held_) {
    const auto piece = bytes.substr(sent_, std::min<size_t>(credit_, wire::kMaxDataBytes));
    sent_ += piece.size();
    send_content(piece);
  }
  if (sent_ == bytes.size() && !ended_) send_end();
}

void GuestCall::send_content(std::string_view bytes) {
  if (state_ != State::kOpen || cancelled_) return;
  credit_ -= static_cast<uint32_t>(bytes.size());
  bytes_ += bytes.size();
  transmit(Type::kData, wire::channel_flags(Channel::kStdin), bytes);
}

void GuestCall::send_end() {
  if (state_ != State::kOpen || cancelled_) return;
  ended_ = true;
  transmit(Type::kData, wire::channel_flags(Channel::kStdin, true), {});
}

void GuestCall::consumed(size_t bytes) {
  owed_ += bytes;
  if (!held_) grant();
}

void GuestCall::grant() {
  if (owed_ < kGrantBytes || ended_ || state_ != State::kOpen || cancelled_) return;
  const auto bytes = static_cast<uint32_t>(std::exchange(owed_, 0));
  credit_ += bytes;
  transmit(Type::kCredit, wire::channel_flags(Channel::kStdout), wire::encode_credit(bytes));
}

void GuestCall::go_on() {
  if (from_ && kept_back_ != 0) from_->allow(std::exchange(kept_back_, 0));
  if (spec_.content == Content::kFromBytes && !cancelled_) send_bytes();
}

void GuestCall::resume() {
  held_ = false;
  if (state_ != State::kOpen) return;
  if (brings()) grant();
  if (sends() && !held_) go_on();
}

void GuestCall::transmit(Type type, uint16_t flags, std::string_view payload) {
  held_ = !send_(type, flags, payload);
}

void GuestCall::cancel(const Error& why) {
  if (state_ == State::kOpen && !cancelled_) {
    cancelled_ = true;
    const Channel channel = sends() ? Channel::kStdin : Channel::kStdout;
    transmit(Type::kClose, wire::channel_flags(channel), {});
  }
  settle(why);
}

void GuestCall::detach(const Error& why) {
  state_ = State::kOver;
  settle(why);
  send_ = nullptr;
}

// Only the first outcome counts.
void GuestCall::settle(Result<wire::CallResult> outcome) {
  close_pipes();
  {
    const std::lock_guard lock(mutex_);
    if (outcome_) return;
    outcome_ = std::move(outcome);
  }
  spec_.bytes = {};
  done_.set();
}

void GuestCall::close_pipes() {
  // What is buffered still reaches the reader.
  if (to_) to_->detach();
  to_.reset();
  if (from_) from_->close();
  from_.reset();
}

}  // namespace vmette::core
