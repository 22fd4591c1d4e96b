// A whole session of the library against scripted bytes of its guest: framing, the start, the
// streams of commands and calls, with what the embedding program does in between. The helper is
// played here, no machine exists. Script: one byte that says how far the start is done, then steps.
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/listing.h"
#include "core/session.h"
#include "host_model.h"
#include "script.h"
#include "vmm/line_channel.h"

namespace wire = vmette::wire;
using nlohmann::json;
using vmette::UniqueFd;
using vmette::core::CallSpec;
using vmette::core::Config;
using vmette::core::GuestCall;
using vmette::core::HelperProcess;
using vmette::core::MainStdio;
using vmette::core::OutputMode;
using vmette::core::Process;
using vmette::core::ProcessSpec;
using vmette::core::Reactor;
using vmette::core::Session;
using vmette::vmm::LineChannel;
using vmette_fuzz::HostModel;
using vmette_fuzz::require;
using vmette_fuzz::Script;
using wire::Channel;
using wire::Type;

namespace {

constexpr int64_t kDeadlineMs = 20'000;

enum class Step : uint8_t {
  kRaw,      // bytes as they are
  kFrame,    // any header with any payload
  kStarted,  // well-formed messages, the likelier way through
  kExit,
  kData,
  kCredit,
  kExec,  // the program's own steps from here on
  kWriteStdin,
  kReadOutput,
  kCloseEnd,
  kDrop,
  kSignal,
  kResize,
  kPause,
  kHearing,  // whether the guest reads
  kHangUp,   // the guest's end is closed
  kStop,
  kResult,  // well-formed, of the guest
  kRefuse,
  kEntry,
  kCall,  // the program's
  kMove,  // through a call's pipe
  kCloseCall,
  kCancel,
  kDropCall,
  kLast = kDropCall,
};

struct Command {
  std::shared_ptr<Process> process;
  UniqueFd ends[3];
};

struct Called {
  std::shared_ptr<GuestCall> call;
  std::shared_ptr<vmette::core::CallSink> sink;
  UniqueFd end;
};

Reactor& reactor() {
  static const auto shared = [] {
    std::signal(SIGPIPE, SIG_IGN);
    auto made = Reactor::get();
    require(made.has_value(), "there is a reactor");
    return made.value();
  }();
  return *shared;
}

class Play {
 public:
  explicit Play(Script script) : script_(script) {
    const uint8_t start = script_.u8();
    open_session((start & 4) != 0);
    if ((start & 3) >= 1)
      say(Type::kHello, 0, 0, wire::encode(wire::Hello{1, 1, "", "", "", 1, 2, ""}));
    if ((start & 3) >= 2) say(Type::kReady, 0, 0, wire::encode(wire::Ready{3, {{"root", 3}}}));
    settle();
  }

  void run() {
    while (!script_.over()) {
      const auto step = static_cast<Step>(script_.u8() % (static_cast<int>(Step::kLast) + 1));
      if (step < Step::kExec) {
        guest_step(step);
      } else if (step >= Step::kResult && step < Step::kCall) {
        guest_call_step(step);
      } else if (step >= Step::kCall) {
        call_step(step);
      } else {
        program_step(step);
      }
      settle();
    }
    end();
  }

 private:
  void open_session(bool main_command) {
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
            "socket");
    HelperProcess process;
    process.socket.reset(ends[0]);
    helper_ = std::make_unique<LineChannel>(UniqueFd(ends[1]));
    // Its pidfd: readable once the other end is closed.
    require(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    process.pidfd.reset(ends[0]);
    helper_alive_.reset(ends[1]);

    Config config;
    MainStdio stdio;
    if (main_command) {
      config.exec = vmette::core::Command{{"main"}, false, false};
      stdio = {MainStdio::Kind::kCapture, false, std::nullopt};
    }
    auto made = Session::create(reactor(), config, stdio);
    require(made.has_value(), "there is a session");
    session_ = made.value();
    require(
        session_->launch_with({"/kernel", "/initramfs", "/helper"}, std::move(process)).has_value(),
        "it is launched");
    answer_requests();  // create
    answer_requests();  // start
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
            "socket");
    guest_.reset(ends[1]);
    std::vector<UniqueFd> channel;
    channel.emplace_back(ends[0]);
    helper_->send(R"({"event":"channel"})", std::move(channel));
    turn();
  }

  // Until the reactor has done what was there before.
  void turn() const {
    std::promise<void> done;
    session_->post([&] { done.set_value(); });
    done.get_future().get();
  }

  void answer_requests() {
    turn();
    std::string line;
    while (helper_->receive(line) == LineChannel::Status::kLine) {
      const json request = json::parse(line);
      helper_->send(json{{"id", request.at("id")}, {"ok", json::object()}}.dump());
    }
    turn();
  }

  // Until the host has read and handled everything, and all it said was heard.
  void settle() {
    do {
      int unread = 1;
      while (guest_ && unread != 0) {
        turn();
        if (ioctl(guest_.get(), SIOCOUTQ, &unread) != 0) unread = 0;
      }
      turn();
    } while (guest_ && hearing_ && hear());
  }

  bool hear() {
    std::array<char, 65536> chunk;
    const ssize_t got = read(guest_.get(), chunk.data(), chunk.size());
    if (got > 0) model_.host_says({chunk.data(), static_cast<size_t>(got)});
    return got > 0;
  }

  void say(std::string_view bytes) {
    model_.guest_says(bytes);
    while (guest_ && !bytes.empty()) {
      const ssize_t sent = send(guest_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else if (errno == EAGAIN) {
        turn();
      } else {
        return;
      }
    }
  }
  void say(Type type, uint16_t flags, uint64_t stream, std::string_view payload) {
    std::string bytes;
    wire::append_frame(bytes, type, flags, stream, payload);
    say(bytes);
  }

  void guest_step(Step step) {
    if (step == Step::kRaw) return say(script_.bytes());
    const uint64_t stream = script_.u8();
    if (step == Step::kFrame) {
      const auto type = static_cast<Type>(script_.u8());
      const uint16_t flags = script_.u16();
      say(type, flags, stream, script_.bytes());
    } else if (step == Step::kStarted) {
      say(Type::kStarted, 0, stream, wire::encode(wire::Started{7, 9}));
    } else if (step == Step::kExit) {
      wire::Exit exit;
      exit.status = script_.u8();
      exit.signalled = exit.status >= 200;
      if (exit.signalled) exit.status -= 200;
      exit.out_bytes = script_.u16();
      exit.err_bytes = script_.u16();
      say(Type::kExit, 0, stream, wire::encode(exit));
    } else if (step == Step::kData) {
      const auto channel = static_cast<Channel>(script_.u8() % 3);
      const uint8_t shape = script_.u8();
      const std::string bytes(script_.u16(), 'd');
      say(Type::kData, wire::channel_flags(channel, (shape & 1) != 0), stream, bytes);
    } else {
      const auto channel = static_cast<Channel>(script_.u8() % 3);
      const uint32_t bytes = script_.u32();
      say(Type::kCredit, wire::channel_flags(channel), stream, wire::encode_credit(bytes));
    }
  }

  void guest_call_step(Step step) {
    const uint64_t stream = script_.u8();
    const uint8_t shape = script_.u8();
    if (step == Step::kResult) {
      wire::CallResult result;
      result.bytes = script_.u32();
      if ((shape & 1) != 0) result.info.emplace().mode = script_.u16();
      if ((shape & 2) != 0) result.stats.emplace().processes = script_.u16();
      say(Type::kResult, 0, stream, wire::encode(result));
    } else if (step == Step::kRefuse) {
      say(Type::kError, 0, stream, wire::encode(wire::Failure{"call", shape, "/path", ""}));
    } else {
      wire::FileInfo info;
      info.name = script_.bytes();
      info.size = shape;
      const std::string entry = wire::encode(info);
      // In two frames when the shape says so.
      const std::string whole = wire::encode_credit(static_cast<uint32_t>(entry.size())) + entry;
      const size_t cut = std::min<size_t>(shape >> 1, whole.size());
      const uint16_t more = wire::channel_flags(Channel::kStdout);
      if (cut != 0) say(Type::kData, more, stream, std::string_view(whole).substr(0, cut));
      say(Type::kData, wire::channel_flags(Channel::kStdout, (shape & 1) != 0), stream,
          std::string_view(whole).substr(cut));
    }
  }

  // One kind for each operation and each way that content takes.
  static CallSpec call_spec(uint8_t kind) {
    using Content = CallSpec::Content;
    constexpr const char* kPlain[] = {wire::op::kStat,     wire::op::kMkdir, wire::op::kRemove,
                                      wire::op::kRename,   wire::op::kChmod, wire::op::kChown,
                                      wire::op::kSetMtime, wire::op::kStats, wire::op::kSymlink};
    struct Moving {
      const char* op;
      Content content;
    };
    constexpr Moving kMoving[] = {{wire::op::kRead, Content::kToSink},
                                  {wire::op::kList, Content::kToSink},
                                  {wire::op::kWrite, Content::kFromBytes},
                                  {wire::op::kRead, Content::kToPipe},
                                  {wire::op::kWrite, Content::kFromPipe}};
    constexpr size_t kKinds = std::size(kPlain) + std::size(kMoving);
    CallSpec spec;
    spec.call.path = "/path";
    spec.call.to = "/to";
    const size_t chosen = kind % kKinds;
    if (chosen < std::size(kPlain)) {
      spec.call.op = kPlain[chosen];
      return spec;
    }
    const Moving& moving = kMoving[chosen - std::size(kPlain)];
    spec.call.op = moving.op;
    spec.content = moving.content;
    return spec;
  }

  void open_call() {
    CallSpec spec = call_spec(script_.u8());
    const size_t size = script_.u16() * size_t{16};
    if (spec.content == CallSpec::Content::kFromBytes) spec.bytes.assign(size, 'w');
    if (spec.content == CallSpec::Content::kToSink && spec.call.op == wire::op::kRead)
      spec.sink = std::make_shared<vmette::core::BytesSink>("/path", size);
    if (spec.call.op == wire::op::kList)
      spec.sink = std::make_shared<vmette::core::ListingSink>("/path");
    Called called;
    called.sink = spec.sink;
    auto made = session_->begin_call(std::move(spec));
    if (!made) return;
    called.call = made.value();
    called.end = called.call->take_fd();
    if (called.end) fcntl(called.end.get(), F_SETFL, O_NONBLOCK);
    calls_.push_back(std::move(called));
  }

  void call_step(Step step) {
    if (step == Step::kCall) {
      if (calls_.size() < 8) open_call();
      return;
    }
    const uint8_t which = script_.u8();
    if (calls_.empty()) return;
    Called& called = calls_[which % calls_.size()];
    if (step == Step::kMove) {
      std::string bytes(script_.u16() + size_t{1}, 'm');
      const int fd = called.end.get();
      // A pipe's end does one or the other.
      if (fd >= 0 && write(fd, bytes.data(), bytes.size()) < 0 && errno == EBADF)
        (void)!read(fd, bytes.data(), bytes.size());
    } else if (step == Step::kCloseCall) {
      called.end.reset();
    } else {
      // As a handle that is deleted does.
      called.call->stop();
      session_->post([call = called.call] {
        call->cancel(vmette::core::Error(vmette::core::Code::kCancelled, "given up"));
      });
      if (step == Step::kCancel) return;
      called.end.reset();
      turn();
      require(called.call->done().wait(0), "a call that is given up is over");
      std::swap(called, calls_.back());
      calls_.pop_back();
    }
  }

  void exec() {
    const uint8_t shape = script_.u8();
    ProcessSpec spec;
    spec.exec.argv = {"command"};
    spec.stdin_pipe = (shape & 3) == 1;
    if ((shape & 3) == 2) spec.stdin_bytes = std::string(script_.u16() * size_t{16}, 'i');
    spec.out = static_cast<OutputMode>((shape >> 2 & 3) % 3);
    spec.err = static_cast<OutputMode>((shape >> 4 & 3) % 3);
    if ((shape & 64) != 0) spec.exec.tty.emplace();
    spec.capture_limit = 100'000;
    auto made = session_->exec(std::move(spec));
    if (!made) return;
    Command command;
    command.process = made.value();
    for (uint8_t i = 0; i < 3; ++i) {
      command.ends[i] = command.process->take_fd(static_cast<Channel>(i));
      if (command.ends[i]) fcntl(command.ends[i].get(), F_SETFL, O_NONBLOCK);
    }
    commands_.push_back(std::move(command));
  }

  void program_step(Step step) {
    if (step == Step::kExec) {
      if (commands_.size() < 8) exec();
      return;
    }
    const uint8_t which = script_.u8();
    if (step == Step::kHearing) {
      hearing_ = (which & 1) != 0;
    } else if (step == Step::kHangUp) {
      guest_.reset();
    } else if (step == Step::kStop) {
      session_->request_stop(which);
    } else if (!commands_.empty()) {
      command_step(step, commands_[which % commands_.size()]);
    }
  }

  void command_step(Step step, Command& command) {
    const std::shared_ptr<Process> process = command.process;
    if (step == Step::kWriteStdin) {
      const std::string bytes(script_.u16(), 's');
      if (command.ends[0]) (void)!write(command.ends[0].get(), bytes.data(), bytes.size());
    } else if (step == Step::kReadOutput) {
      const UniqueFd& end = command.ends[1 + script_.u8() % 2];
      std::string bytes(script_.u16() + size_t{1}, '\0');
      if (end) (void)!read(end.get(), bytes.data(), bytes.size());
    } else if (step == Step::kCloseEnd) {
      command.ends[script_.u8() % 3].reset();
    } else if (step == Step::kDrop) {
      dropped_.push_back(process);  // the session keeps it; its end is still checked
      std::swap(command, commands_.back());
      commands_.pop_back();
    } else if (step == Step::kSignal) {
      const int number = script_.u8();
      session_->post([=] { process->send_signal(number, wire::SignalScope::kTree); });
    } else if (step == Step::kResize) {
      const uint16_t rows = script_.u16();
      session_->post([=] { process->resize({rows, 80}); });
    } else if (step == Step::kPause) {
      const bool on = (script_.u8() & 1) != 0;
      session_->post([=] { process->pause(on); });
    }
  }

  // However far it came, the session ends at once when it is killed, and with it every command and
  // call.
  void end() {
    session_->request_kill();
    turn();
    helper_alive_.reset();
    require(session_->wait(kDeadlineMs).has_value(), "a killed session ends");
    const auto end = session_->end();
    require(end.kind != vmette::core::EndKind::kNone, "an end has a kind");
    require(!end.message.empty() && end.message.find('\n') == std::string::npos,
            "an end is one line");
    for (const Command& command : commands_) dropped_.push_back(command.process);
    if (const auto main = session_->main_process()) dropped_.push_back(main);
    for (const auto& process : dropped_) {
      require(
          process->started().wait(0) && process->exited().wait(0) && process->complete().wait(0),
          "no command is waited for after its session");
      require(process->exit() || process->failure(), "a command says how it ended");
    }
    for (const Called& called : calls_) {
      require(called.call->done().wait(0), "no call is waited for after its session");
      const auto outcome = called.call->outcome();
      require(outcome.has_value(), "a call that is over has an outcome");
      if (*outcome && called.call->bytes() != 0)
        require(outcome->value().bytes == called.call->bytes(), "a success moved all of it");
      require(*outcome || !outcome->error().message.empty(), "a call that failed says why");
    }
  }

  Script script_;
  std::shared_ptr<Session> session_;
  std::unique_ptr<LineChannel> helper_;
  UniqueFd helper_alive_;
  UniqueFd guest_;
  bool hearing_ = true;
  HostModel model_;
  std::vector<Command> commands_;
  std::vector<std::shared_ptr<Process>> dropped_;
  std::vector<Called> calls_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Play(Script(data, size)).run();
  return 0;
}
