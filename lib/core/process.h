#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/capture.h"
#include "core/error.h"
#include "core/event.h"
#include "core/guest_stream.h"
#include "core/pipes.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette::core {

// What a process does with one of its output streams on the host.
enum class OutputMode : uint8_t {
  kDiscard,  // the guest writes to /dev/null
  kCapture,  // kept, bounded
  kPipe,     // a descriptor for the caller
};

struct ProcessSpec {
  wire::Exec exec;  // its `in`, `out` and `err` are set from the modes below
  bool stdin_pipe = false;
  std::optional<std::string> stdin_bytes;  // fed to stdin, which then ends
  OutputMode out = OutputMode::kDiscard;
  OutputMode err = OutputMode::kDiscard;
  size_t capture_limit = size_t{1} << 20;
  uint64_t timeout_ms = 0;  // after the start; 0: none
};

// One command in the guest.
//
// starting -> running -> exited. Each step happens once: `started()` is set when the guest has
// accepted or refused it (then failure() says why) or the session has ended; `exited()` is set when
// the leading process has ended, or nothing will come any more.
//
// Threads: create(), the events, the getters and take_*_fd() from any thread; the rest on the
// reactor's thread only.
class Process : public GuestStream, public std::enable_shared_from_this<Process> {
 public:
  // Makes the pipes. Fails when the host has no descriptors left.
  static Result<std::shared_ptr<Process>> create(boost::asio::io_context& io, ProcessSpec spec);

  [[nodiscard]] const Event& started() const { return started_; }
  [[nodiscard]] const Event& exited() const { return exited_; }
  // Set when it has exited and its captured output is complete, or nothing will come any more.
  [[nodiscard]] const Event& complete() const { return complete_; }
  // Why it could not be started or was lost; nothing while all is well.
  [[nodiscard]] std::optional<Error> failure() const;
  // How its leading process ended; nothing before that, or when it was lost.
  [[nodiscard]] std::optional<wire::Exit> exit() const;
  [[nodiscard]] CapturedOutput captured() const { return capture_.read(); }

  [[nodiscard]] uint32_t pid() const;
  [[nodiscard]] bool timed_out() const;

  // The caller's end of a stream; -1 or invalid when it is no pipe, was taken or was closed.
  [[nodiscard]] int caller_fd(wire::Channel channel) const;
  HeldFd take_fd(wire::Channel channel);

  // ---- Reactor thread ----

  // Called when the guest has accepted it. Once.
  void on_started(std::function<void()> callback) { started_callback_ = std::move(callback); }
  // Called when everything that the command had written by its exit has arrived, or when it could
  // not be started. Once.
  void on_finished(std::function<void()> callback) { finished_callback_ = std::move(callback); }
  // The caller's pipes end once they have what has come, whoever still has the streams in the
  // guest.
  void end_pipes();

  void open(Send send) override;
  std::string handle(const wire::Frame& frame) override;
  [[nodiscard]] bool over() const override { return state_ == State::kOver; }
  // What is buffered for the caller's pipes still reaches them.
  void detach(const Error& why) override;
  void pause(bool on) override;
  void resume() override;
  void send_signal(int number, wire::SignalScope scope);
  void resize(wire::WindowSize size);

 private:
  enum class State : uint8_t { kNew, kStarting, kRunning, kOver };

  // One output stream on its way from the guest.
  struct Output {
    OutputMode mode = OutputMode::kDiscard;
    std::shared_ptr<PipeWriter> writer;      // kPipe
    uint32_t credit = wire::kInitialCredit;  // what the guest may still send
    size_t owed = 0;                         // consumed and not yet granted
    uint64_t received = 0;
    bool ended = false;  // the guest has said EOF, or there is nothing to come

    // Whether everything that the command wrote before its exit is here, or nobody wants it.
    [[nodiscard]] bool complete(uint64_t bytes_at_exit) const {
      return ended || received >= bytes_at_exit || (mode == OutputMode::kPipe && !writer);
    }
  };

  Process(boost::asio::io_context& io, ProcessSpec spec);
  Result<void> make_pipes();

  std::string handle_started(const wire::Frame& frame);
  std::string handle_error(const wire::Frame& frame);
  std::string handle_data(const wire::Frame& frame);
  std::string handle_credit(const wire::Frame& frame);
  std::string handle_exit(const wire::Frame& frame);
  Output& output(uint8_t channel) { return channel == 2 ? err_ : out_; }
  void start_stdin();
  void send_stdin_bytes();
  void go_on_with_stdin();
  void begin_timeout();
  void arm_timeout(std::chrono::steady_clock::duration left);
  void consumed(wire::Channel channel, size_t bytes);
  void transmit(wire::Type type, uint16_t flags, std::string_view payload);
  void grant(wire::Channel channel);
  void reader_gone(wire::Channel channel);
  void end_output(Output& output);
  void check_finished();
  void finish();

  boost::asio::io_context& io_;
  // Constant once open() was called.
  ProcessSpec spec_;
  Event started_;
  Event exited_;
  Event complete_;
  Capture capture_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::optional<Error> failure_;
  std::optional<wire::Exit> exit_;
  HeldFd caller_fds_[3];
  uint32_t pid_ = 0;
  bool timed_out_ = false;

  // Reactor thread only.
  State state_ = State::kNew;
  Send send_;
  std::shared_ptr<PipeReader> stdin_;
  uint64_t stdin_granted_ = 0;  // credit that the guest holds out to us
  size_t stdin_sent_ = 0;       // of spec_.stdin_bytes
  size_t stdin_held_ = 0;       // granted by the guest and not yet allowed to stdin_
  bool held_ = false;           // the guest is behind: stdin and credit wait for resume()
  boost::asio::steady_timer timeout_timer_;
  bool paused_ = false;
  std::optional<std::chrono::steady_clock::duration> paused_left_;  // of the timeout
  Output out_;
  Output err_;
  std::function<void()> started_callback_;
  std::function<void()> finished_callback_;
};

}  // namespace vmette::core
