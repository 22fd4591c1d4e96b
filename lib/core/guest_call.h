#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/event.h"
#include "core/guest_stream.h"
#include "core/pipes.h"
#include "wire/calls.h"
#include "wire/codec.h"

namespace vmette::core {

// Where the bytes that a call brings go to. Reactor thread only, until the call is done.
class CallSink {
 public:
  virtual ~CallSink() = default;
  // Takes a piece. Code::kGuest: the guest broke a rule; any other error ends just the call.
  virtual Result<void> take(wire::Bytes bytes) = 0;
  // Nothing follows; the same errors.
  virtual Result<void> end() { return success(); }
};

struct CallSpec {
  enum class Content : uint8_t {
    kNone,       // request and answer, no content
    kFromBytes,  // `bytes` go to the guest
    kFromPipe,   // what the caller writes into its descriptor goes to the guest
    kToSink,     // the guest's bytes go to `sink`
    kToPipe,     // the caller reads them from its descriptor
  };

  wire::Call call;
  Content content = Content::kNone;
  std::string bytes;
  std::shared_ptr<CallSink> sink;
};

// One call to the guest's agent: CALL, content in one direction at most, RESULT or ERROR.
//
// Memory: at most a credit window of content, and what `bytes` or the sink hold.
// Threads: create(), done(), the getters, take_fd() and stop() from any thread; the rest on the
// reactor's thread only.
class GuestCall : public GuestStream {
 public:
  static Result<std::shared_ptr<GuestCall>> create(boost::asio::io_context& io, CallSpec spec);

  [[nodiscard]] const wire::Call& asked() const { return spec_.call; }
  // Set when it has succeeded or failed.
  [[nodiscard]] const Event& done() const { return done_; }
  // Nothing while it is under way.
  [[nodiscard]] std::optional<Result<wire::CallResult>> outcome() const;
  // Bytes of content that have been moved so far.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

  // The caller's end of a pipe; -1 or invalid when there is none any more.
  [[nodiscard]] int caller_fd() const;
  HeldFd take_fd();
  // From now on the end of what the caller writes does not count as the end of the content. To be
  // followed by cancel() on the reactor's thread.
  void stop() { stopped_ = true; }

  void open(Send send) override;
  std::string handle(const wire::Frame& frame) override;
  [[nodiscard]] bool over() const override { return state_ == State::kOver; }
  void detach(const Error& why) override;
  void resume() override;
  // Gives the call up with this error, unless it is done.
  void cancel(const Error& why);

 private:
  enum class State : uint8_t { kNew, kOpen, kOver };

  GuestCall(boost::asio::io_context& io, CallSpec spec);
  Result<void> make_pipe_ends();

  [[nodiscard]] bool brings() const;
  [[nodiscard]] bool sends() const;
  std::string handle_result(const wire::Frame& frame);
  std::string handle_error(const wire::Frame& frame);
  std::string handle_data(const wire::Frame& frame);
  std::string handle_credit(const wire::Frame& frame);
  std::string give_to_sink(const wire::Frame& frame);
  void send_bytes();
  void send_content(std::string_view bytes);
  void send_end();
  void consumed(size_t bytes);
  void grant();
  void go_on();
  void transmit(wire::Type type, uint16_t flags, std::string_view payload);
  void settle(Result<wire::CallResult> outcome);
  void close_pipes();

  boost::asio::io_context& io_;
  CallSpec spec_;
  Event done_;
  std::atomic<bool> stopped_{false};
  std::atomic<uint64_t> bytes_{0};

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::optional<Result<wire::CallResult>> outcome_;
  HeldFd caller_fd_;

  // Reactor thread only.
  State state_ = State::kNew;
  Send send_;
  bool held_ = false;       // the guest is behind: content and credit wait for resume()
  bool ended_ = false;      // the content has ended
  bool cancelled_ = false;  // CLOSE was sent: what still comes is dropped
  std::shared_ptr<PipeReader> from_;
  std::shared_ptr<PipeWriter> to_;
  uint32_t credit_ = wire::kInitialCredit;  // what the sender of the content may still send
  size_t owed_ = 0;                         // consumed and not yet granted
  size_t kept_back_ = 0;                    // granted by the guest and not yet allowed to from_
  size_t sent_ = 0;                         // of spec_.bytes
};

}  // namespace vmette::core
