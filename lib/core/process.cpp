#include "core/process.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmette::core {
namespace {

using wire::Channel;
using wire::Type;

// Granted in pieces of at least this size.
constexpr size_t kGrantBytes = wire::kInitialCredit / 4;
// SIGKILL in the guest, whatever the host's numbers are.
constexpr int kKillSignal = 9;
// A hundred years: what is longer no clock can count in nanoseconds.
constexpr std::chrono::milliseconds kLongestTimeout = std::chrono::hours(100 * 365 * 24);

}  // namespace

Process::Process(boost::asio::io_context& io, ProcessSpec spec)
    : io_(io), spec_(std::move(spec)), capture_(spec_.capture_limit), timeout_timer_(io) {
  const auto stdio = [](OutputMode mode) {
    return mode == OutputMode::kDiscard ? wire::Stdio::kNull : wire::Stdio::kStream;
  };
  spec_.exec.in = spec_.stdin_pipe || spec_.stdin_bytes ? wire::Stdio::kStream : wire::Stdio::kNull;
  spec_.exec.out = stdio(spec_.out);
  spec_.exec.err = stdio(spec_.err);
  out_.mode = spec_.out;
  err_.mode = spec_.err;
  out_.ended = spec_.out == OutputMode::kDiscard;
  err_.ended = spec_.err == OutputMode::kDiscard || spec_.exec.tty.has_value();
}

Result<std::shared_ptr<Process>> Process::create(boost::asio::io_context& io, ProcessSpec spec) {
  std::shared_ptr<Process> process(new Process(io, std::move(spec)));
  if (!process->started_.valid() || !process->exited_.valid() || !process->complete_.valid())
    return os_error("a process: no descriptor for its state", EMFILE);
  BOOST_OUTCOME_TRYV(process->make_pipes());
  return process;
}

Result<void> Process::make_pipes() {
  if (spec_.stdin_pipe) {
    auto ends = make_pipe(Pumped::kRead);
    if (!ends) return ends.error();
    stdin_ = std::make_shared<PipeReader>(
        io_, std::move(ends.value().read),
        PipeReader::Callbacks{
            [this](wire::Bytes bytes) {
              stdin_granted_ -= bytes.size();
              transmit(Type::kData, wire::channel_flags(Channel::kStdin),
                       {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
            },
            [this] { transmit(Type::kData, wire::channel_flags(Channel::kStdin, true), {}); }});
    caller_fds_[0] = std::move(ends.value().write);
  }
  for (const Channel channel : {Channel::kStdout, Channel::kStderr}) {
    Output& stream = output(static_cast<uint8_t>(channel));
    if (stream.mode != OutputMode::kPipe || stream.ended) continue;
    auto ends = make_pipe(Pumped::kWrite);
    if (!ends) return ends.error();
    stream.writer = std::make_shared<PipeWriter>(
        io_, std::move(ends.value().write),
        PipeWriter::Callbacks{[this, channel](size_t bytes) { consumed(channel, bytes); },
                              [this, channel] { reader_gone(channel); }});
    caller_fds_[static_cast<size_t>(channel)] = std::move(ends.value().read);
  }
  return success();
}

std::optional<Error> Process::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::optional<wire::Exit> Process::exit() const {
  const std::lock_guard lock(mutex_);
  return exit_;
}

uint32_t Process::pid() const {
  const std::lock_guard lock(mutex_);
  return pid_;
}

bool Process::timed_out() const {
  const std::lock_guard lock(mutex_);
  return timed_out_;
}

int Process::caller_fd(Channel channel) const {
  const std::lock_guard lock(mutex_);
  return caller_fds_[static_cast<size_t>(channel)].get();
}

HeldFd Process::take_fd(Channel channel) {
  const std::lock_guard lock(mutex_);
  return std::move(caller_fds_[static_cast<size_t>(channel)]);
}

void Process::open(Send send) {
  state_ = State::kStarting;
  send_ = std::move(send);
  transmit(Type::kExec, 0, wire::encode(spec_.exec));
}

std::string Process::handle(const wire::Frame& frame) {
  switch (frame.type) {
    case Type::kStarted:
      return handle_started(frame);
    case Type::kError:
      return handle_error(frame);
    case Type::kData:
      return handle_data(frame);
    case Type::kCredit:
      return handle_credit(frame);
    case Type::kExit:
      return handle_exit(frame);
    default:
      return fmt::format("it sent {} on a command's stream",
                         wire::type_name(static_cast<uint16_t>(frame.type)));
  }
}

std::string Process::handle_started(const wire::Frame& frame) {
  if (state_ != State::kStarting) return "it started a command twice";
  const auto message = wire::decode<wire::Started>(frame.payload);
  if (!message.value) return "its STARTED is wrong: " + message.error;
  {
    const std::lock_guard lock(mutex_);
    pid_ = message.value->pid;
  }
  state_ = State::kRunning;
  for (const Output* stream : {&out_, &err_})
    if (stream->writer) stream->writer->start();
  start_stdin();
  if (spec_.timeout_ms != 0) begin_timeout();
  started_.set();
  if (started_callback_) std::exchange(started_callback_, nullptr)();
  return {};
}

void Process::start_stdin() {
  stdin_granted_ = wire::kInitialCredit;
  if (stdin_) stdin_->allow(wire::kInitialCredit);
  if (spec_.stdin_bytes) send_stdin_bytes();
}

// As much of the given bytes as the guest's credit allows, and their end.
void Process::send_stdin_bytes() {
  const std::string& bytes = *spec_.stdin_bytes;
  while (stdin_sent_ < bytes.size() && stdin_granted_ > 0 && !held_) {
    const size_t count =
        std::min<size_t>({bytes.size() - stdin_sent_, stdin_granted_, wire::kMaxDataBytes});
    transmit(Type::kData, wire::channel_flags(Channel::kStdin),
             std::string_view(bytes).substr(stdin_sent_, count));
    stdin_sent_ += count;
    stdin_granted_ -= count;
  }
  if (stdin_sent_ < bytes.size()) return;
  transmit(Type::kData, wire::channel_flags(Channel::kStdin, true), {});
  spec_.stdin_bytes.reset();
}

// STARTED may be read after the machine was paused.
void Process::begin_timeout() {
  const std::chrono::milliseconds whole(
      std::min<uint64_t>(spec_.timeout_ms, static_cast<uint64_t>(kLongestTimeout.count())));
  if (paused_)
    paused_left_ = whole;
  else
    arm_timeout(whole);
}

void Process::arm_timeout(std::chrono::steady_clock::duration left) {
  timeout_timer_.expires_after(left);
  timeout_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->state_ != State::kRunning || self->exit()) return;
    {
      const std::lock_guard lock(self->mutex_);
      self->timed_out_ = true;
    }
    self->send_signal(kKillSignal, wire::SignalScope::kTree);
  });
}

void Process::pause(bool on) {
  if (std::exchange(paused_, on) == on) return;
  if (on) {
    if (spec_.timeout_ms == 0 || state_ != State::kRunning || exit()) return;
    paused_left_ = timeout_timer_.expiry() - std::chrono::steady_clock::now();
    timeout_timer_.cancel();
  } else if (paused_left_) {
    arm_timeout(*std::exchange(paused_left_, std::nullopt));
  }
}

std::string Process::handle_error(const wire::Frame& frame) {
  if (state_ != State::kStarting) return "it refused a command that it had started";
  const auto message = wire::decode<wire::Failure>(frame.payload);
  if (!message.value) return "its ERROR is wrong: " + message.error;
  const wire::Failure& failure = *message.value;
  Error error(
      Code::kSpawn,
      one_line(fmt::format("the command could not be started in the guest: {}{}{}", failure.path,
                           failure.path.empty() ? "" : ": ",
                           failure.message.empty() ? errno_text(failure.error) : failure.message)),
      one_line(failure.stage), failure.error);
  {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(error);
  }
  state_ = State::kOver;
  end_output(out_);
  end_output(err_);
  if (stdin_) stdin_->close();
  started_.set();
  // Who sees that it is over must not find that it is not complete.
  complete_.set();
  exited_.set();
  finish();
  return {};
}

std::string Process::handle_data(const wire::Frame& frame) {
  if (frame.channel() == 0) return "it sent DATA for stdin";
  Output& stream = output(frame.channel());
  if (state_ != State::kRunning && state_ != State::kOver) return "it sent DATA before STARTED";
  if (frame.payload.size() > stream.credit)
    return fmt::format("it sent {} bytes with {} bytes of credit left", frame.payload.size(),
                       stream.credit);
  stream.credit -= static_cast<uint32_t>(frame.payload.size());
  if (stream.ended) return "it sent DATA after the end of the stream";
  stream.received += frame.payload.size();
  const auto channel = static_cast<Channel>(frame.channel());
  if (stream.mode == OutputMode::kCapture) {
    capture_.append(channel, frame.payload);
    consumed(channel, frame.payload.size());
  } else if (stream.writer && !frame.payload.empty()) {
    stream.writer->write(frame.payload);
  }
  if (frame.eof()) end_output(stream);
  check_finished();
  return {};
}

std::string Process::handle_credit(const wire::Frame& frame) {
  const uint32_t grant = wire::decode_credit(frame.payload);
  if (frame.channel() != 0 || grant == 0 || grant > wire::kInitialCredit)
    return "it sent a CREDIT that is none";
  if (spec_.exec.in != wire::Stdio::kStream || state_ != State::kRunning)
    return "it granted credit for a stdin that is not open";
  stdin_granted_ += grant;
  if (stdin_granted_ > wire::kInitialCredit) return "it granted more credit than was used";
  stdin_held_ += stdin_ ? grant : 0;
  if (!held_) go_on_with_stdin();
  return {};
}

std::string Process::handle_exit(const wire::Frame& frame) {
  if (state_ != State::kRunning || exit()) return "it ended a command that does not run";
  auto message = wire::decode<wire::Exit>(frame.payload);
  if (!message.value) return "its EXIT is wrong: " + message.error;
  const int32_t most = message.value->signalled ? 64 : 255;
  if (message.value->status < 0 || message.value->status > most)
    return fmt::format("its EXIT has status {}", message.value->status);
  {
    const std::lock_guard lock(mutex_);
    exit_ = *message.value;
    // Any other end has come before the kill that was on its way.
    timed_out_ = timed_out_ && exit_->signalled && exit_->status == kKillSignal;
  }
  if (stdin_) stdin_->close();
  spec_.stdin_bytes.reset();
  timeout_timer_.cancel();
  exited_.set();
  check_finished();
  return {};
}

void Process::consumed(Channel channel, size_t bytes) {
  Output& stream = output(static_cast<uint8_t>(channel));
  stream.owed += bytes;
  if (!held_) grant(channel);
}

void Process::grant(Channel channel) {
  Output& stream = output(static_cast<uint8_t>(channel));
  if (stream.owed < kGrantBytes || stream.ended || !send_) return;
  const auto bytes = static_cast<uint32_t>(std::exchange(stream.owed, 0));
  stream.credit += bytes;
  transmit(Type::kCredit, wire::channel_flags(channel), wire::encode_credit(bytes));
}

void Process::transmit(Type type, uint16_t flags, std::string_view payload) {
  held_ = !send_(type, flags, payload);
}

void Process::go_on_with_stdin() {
  if (stdin_ && stdin_held_ != 0) stdin_->allow(std::exchange(stdin_held_, 0));
  if (spec_.stdin_bytes) send_stdin_bytes();
}

void Process::resume() {
  held_ = false;
  if (state_ != State::kRunning) return;
  for (const Channel channel : {Channel::kStdout, Channel::kStderr})
    if (!held_) grant(channel);
  if (!held_) go_on_with_stdin();
}

void Process::reader_gone(Channel channel) {
  Output& stream = output(static_cast<uint8_t>(channel));
  stream.writer.reset();
  // What is under way is dropped; the guest's EOF still comes.
  if (!stream.ended && send_) transmit(Type::kClose, wire::channel_flags(channel), {});
  check_finished();
}

void Process::end_output(Output& stream) {
  // The pipe may be read long after this process was dropped.
  if (stream.writer) stream.writer->detach();
  stream.writer.reset();
  stream.ended = true;
}

void Process::check_finished() {
  const auto ended = exit();
  if (!ended) return;
  if (out_.ended && err_.ended) state_ = State::kOver;
  const auto captured = [](const Output& stream, uint64_t bytes_at_exit) {
    return stream.mode != OutputMode::kCapture || stream.complete(bytes_at_exit);
  };
  if (captured(out_, ended->out_bytes) && captured(err_, ended->err_bytes)) complete_.set();
  if (out_.complete(ended->out_bytes) && err_.complete(ended->err_bytes)) finish();
}

void Process::end_pipes() {
  for (Output* stream : {&out_, &err_}) {
    if (stream->writer) stream->writer->detach();
    stream->writer.reset();
  }
}

void Process::finish() {
  if (finished_callback_) std::exchange(finished_callback_, nullptr)();
}

void Process::detach(const Error& why) {
  send_ = nullptr;
  started_callback_ = nullptr;
  finished_callback_ = nullptr;
  state_ = State::kOver;
  end_output(out_);
  end_output(err_);
  if (stdin_) stdin_->close();
  {
    const std::lock_guard lock(mutex_);
    if (!exit_ && !failure_) failure_ = why;
  }
  timeout_timer_.cancel();
  started_.set();
  complete_.set();
  exited_.set();
}

void Process::send_signal(int number, wire::SignalScope scope) {
  if (state_ != State::kStarting && state_ != State::kRunning) return;
  transmit(Type::kSignal, 0, wire::encode(wire::Signal{number, scope}));
}

void Process::resize(wire::WindowSize size) {
  if (state_ != State::kStarting && state_ != State::kRunning) return;
  transmit(Type::kResize, 0, wire::encode(size));
}

}  // namespace vmette::core
