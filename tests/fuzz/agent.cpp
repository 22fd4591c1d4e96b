// The guest agent's frame dispatch, its streams and its calls against scripted bytes of a host,
// with commands that are played here (agent_machine.h) and files that nobody else sees
// (private_files.h). Script: one byte that says whether the set-up is done,
// then steps.
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "agent.h"
#include "agent_machine.h"
#include "private_files.h"
#include "script.h"
#include "wire/calls.h"
#include "wire/messages.h"

namespace wire = vmette::wire;
using vmette::UniqueFd;
using vmette::agent::Agent;
using vmette_fuzz::machine;
using vmette_fuzz::require;
using vmette_fuzz::Script;
using wire::Channel;
using wire::Type;

namespace {

enum class Step : uint8_t {
  kRaw,    // bytes as they are
  kFrame,  // any header with any payload
  kExec,   // well-formed messages, the likelier way through
  kData,
  kCredit,
  kClose,
  kSignal,
  kResize,
  kShutdown,
  kPrint,  // what the commands do
  kRead,
  kCloseEnd,
  kExit,
  kFailNext,  // the next command cannot be started
  kHearing,   // whether the host reads
  kCall,      // of the host again
  kQuiesce,
  kWake,
  kThaw,
  kLast = kThaw,
};

// What the agent sends must be legal, whatever the host does. It follows both directions.
class AgentModel {
 public:
  // Returns how many of the bytes may go to the agent: a CALL works on files, which must be private
  // ones.
  size_t host_says(std::string_view bytes) {
    size_t taken = 0;
    while (taken < bytes.size() && !host_broken_) {
      const auto room = host_.space();
      const size_t size = std::min({room.size(), bytes.size() - taken, size_t{4096}});
      std::copy_n(reinterpret_cast<const std::byte*>(bytes.data()) + taken, size, room.data());
      host_.fill(size);
      wire::Frame frame;
      auto status = host_.next(frame);
      for (; status == wire::Decoder::Status::kFrame; status = host_.next(frame)) {
        if (frame.type == Type::kCall && !vmette_fuzz::confined()) return taken;
        if (!note_order(frame)) return taken;
        if (frame.type == Type::kCall && !streams_[frame.stream].asked)
          streams_[frame.stream].call = true;
        if (frame.type == Type::kExec || frame.type == Type::kCall)
          streams_[frame.stream].asked = true;
        if (frame.type == Type::kCredit && frame.channel() < 3)
          streams_[frame.stream].credit[frame.channel()] += wire::decode_credit(frame.payload);
      }
      host_broken_ = status == wire::Decoder::Status::kBroken;
      taken += size;
    }
    return bytes.size();
  }

  void agent_says(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto room = agent_.space();
      const size_t size = std::min(room.size(), bytes.size());
      std::copy_n(reinterpret_cast<const std::byte*>(bytes.data()), size, room.data());
      bytes.remove_prefix(size);
      agent_.fill(size);
      wire::Frame frame;
      auto status = agent_.next(frame);
      for (; status == wire::Decoder::Status::kFrame; status = agent_.next(frame)) take(frame);
      require(status != wire::Decoder::Status::kBroken, "the agent's framing is legal");
    }
  }

 private:
  // What the host sends around a save. False: the agent would wait for too long for a host that
  // does not read.
  bool note_order(const wire::Frame& frame) {
    if (frame.type == Type::kQuiesce) {
      ordered_ = !asked_;
      asked_ = true;
      const auto message = wire::decode<wire::Quiesce>(frame.payload);
      return !message.value || message.value->timeout_ms <= 1;
    }
    if (frame.type != Type::kWake) {
      ordered_ = false;
      return true;
    }
    const auto message = wire::decode<wire::Wake>(frame.payload);
    if (!message.value || !message.value->restored || between_) return true;
    between_ = true;
    old_streams_ = std::exchange(streams_, {});
    return true;
  }

  struct Stream {
    bool asked = false;  // EXEC or CALL was sent
    bool call = false;
    bool answered = false;  // STARTED or ERROR came
    bool running = false;
    uint64_t credit[3] = {wire::kInitialCredit, wire::kInitialCredit, wire::kInitialCredit};
    bool over[3] = {false, false, false};
    uint64_t sent = 0;  // by a call
  };

  void take(const wire::Frame& frame) {
    require(!quiet_ || !ordered_ || host_broken_ || frame.type == Type::kHello ||
                frame.type == Type::kError,
            "QUIESCED is the agent's last word until WAKE");
    quiet_ = frame.type == Type::kQuiesced;
    if (frame.type == Type::kHello) between_ = false;
    if (frame.stream == 0 && frame.type != Type::kQuiesced) asked_ = false;
    if (frame.stream == 0) return;
    Stream& stream = (between_ ? old_streams_ : streams_)[frame.stream];
    require(stream.asked, "the agent answers what was asked");
    if (stream.call) return take_of_call(stream, frame);
    switch (frame.type) {
      case Type::kStarted:
      case Type::kError:
        require(!stream.answered, "a command is answered once");
        stream.answered = true;
        stream.running = frame.type == Type::kStarted;
        return;
      case Type::kExit:
        require(stream.running, "a running command exits, once");
        stream.running = false;
        return;
      case Type::kData:
        return take_data(stream, frame);
      case Type::kCredit:
        require(stream.answered && frame.channel() == 0, "the agent grants credit for stdin");
        return;
      default:
        require(false, "nothing else comes on a command's stream");
    }
  }

  static void take_of_call(Stream& stream, const wire::Frame& frame) {
    require(!stream.answered, "the answer is the last of a call");
    stream.answered = frame.type == Type::kResult || frame.type == Type::kError;
    if (frame.type == Type::kResult) {
      const auto result = wire::decode<wire::CallResult>(frame.payload);
      require(result.value.has_value(), "a RESULT decodes");
      require(stream.sent == 0 || (stream.over[1] && result.value->bytes == stream.sent),
              "a RESULT comes after the content and counts it");
    } else if (frame.type == Type::kData) {
      const size_t size = frame.payload.size();
      require(frame.channel() == 1 && !stream.over[1], "content comes once, on one channel");
      require(size <= stream.credit[1], "a call keeps to its credit");
      stream.credit[1] -= size;
      stream.sent += size;
      stream.over[1] = frame.eof();
    } else if (frame.type == Type::kCredit) {
      require(frame.channel() == 0, "a call grants credit for what comes");
    } else {
      require(frame.type == Type::kError, "nothing else comes on a call's stream");
      require(wire::decode<wire::Failure>(frame.payload).value.has_value(), "an ERROR decodes");
    }
  }

  static void take_data(Stream& stream, const wire::Frame& frame) {
    const uint8_t channel = frame.channel();
    require(stream.answered && (channel == 1 || channel == 2), "output comes from a command");
    require(!stream.over[channel], "nothing follows the end of an output");
    require(frame.payload.size() <= stream.credit[channel], "the agent keeps to its credit");
    stream.credit[channel] -= frame.payload.size();
    stream.over[channel] = frame.eof();
  }

  wire::Decoder host_{wire::Sender::kHost};
  wire::Decoder agent_{wire::Sender::kGuest};
  bool host_broken_ = false;
  std::map<uint64_t, Stream> streams_;
  std::map<uint64_t, Stream> old_streams_;  // of the connection before the WAKE of a restore
  bool between_ = false;                    // that WAKE is sent and its HELLO not yet heard
  bool quiet_ = false;                      // QUIESCED was heard last
  bool asked_ = false;                      // QUIESCE was sent, and its end not yet heard
  bool ordered_ = false;                    // since QUIESCE nothing but WAKE was sent
};

class Play {
 public:
  explicit Play(Script script) : script_(script) {
    machine() = {};
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
            "socket");
    host_.reset(ends[1]);
    agent_.emplace(UniqueFd(ends[0]), modules_, devices_, 1);
    agent_->greet();
    if ((script_.u8() & 1) == 0) return;
    wire::Setup setup;
    setup.generation = wire::kGeneration;
    setup.env = {{"BASE", "1"}};
    say(Type::kSetup, 0, 0, wire::encode(setup));
    settle();
  }

  void run() {
    while (!script_.over()) {
      const auto step = static_cast<Step>(script_.u8() % (static_cast<int>(Step::kLast) + 1));
      if (step < Step::kPrint || step >= Step::kCall) {
        host_step(step);
      } else if (step < Step::kFailNext) {
        command_step(step);
      } else {
        other_step(step);
      }
      settle();
    }
    hearing_ = true;
    while (!machine().processes.empty()) vmette_fuzz::end_process(0, 0);
    settle();
  }

 private:
  // Until the agent has nothing more to do and what it said was heard.
  void settle() {
    for (int quiet = 0; quiet < 2; ++quiet) {
      if (agent_->turn(true)) quiet = -1;
      if (hearing_ && hear()) quiet = -1;
    }
  }

  bool hear() {
    std::array<char, 65536> chunk;
    const ssize_t got = read(host_.get(), chunk.data(), chunk.size());
    if (got > 0) model_.agent_says({chunk.data(), static_cast<size_t>(got)});
    return got > 0;
  }

  void say(std::string_view bytes) {
    bytes = bytes.substr(0, deaf_ ? 0 : model_.host_says(bytes));
    while (!bytes.empty()) {
      const ssize_t sent = send(host_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else {
        settle();
        // An agent that ends, or that has much to say to nobody, reads no more.
        deaf_ = machine().powering_off || !hearing_;
        if (deaf_) return;
      }
    }
  }
  void say(Type type, uint16_t flags, uint64_t stream, std::string_view payload) {
    std::string bytes;
    wire::append_frame(bytes, type, flags, stream, payload);
    say(bytes);
  }

  void exec() {
    const uint8_t shape = script_.u8();
    wire::Exec request;
    request.argv = {"/command", std::string(script_.bytes())};
    request.in = (shape & 1) != 0 ? wire::Stdio::kStream : wire::Stdio::kNull;
    request.out = (shape & 2) != 0 ? wire::Stdio::kStream : wire::Stdio::kNull;
    request.err = (shape & 4) != 0 ? wire::Stdio::kStream : wire::Stdio::kNull;
    if ((shape & 8) != 0) request.tty.emplace();
    constexpr const char* kUsers[] = {"", "user", "1000:7", "nobody-here"};
    request.user = kUsers[shape >> 4 & 3];
    say(Type::kExec, 0, ++last_stream_, wire::encode(request));
  }

  // Few names, so that they meet.
  std::string path() {
    constexpr const char* kNames[] = {"a", "b", "..", "etc/passwd"};
    std::string path;
    uint8_t shape = script_.u8();
    for (; shape != 0; shape >>= 3) path += std::string("/") + kNames[shape & 3];
    return path.empty() ? "/" : path;
  }

  void call() {
    constexpr const char* kOperations[] = {
        wire::op::kStat,  wire::op::kList,   wire::op::kRead,     wire::op::kWrite,
        wire::op::kMkdir, wire::op::kRemove, wire::op::kRename,   wire::op::kSymlink,
        wire::op::kChmod, wire::op::kChown,  wire::op::kSetMtime, wire::op::kStats,
        wire::op::kPack,  wire::op::kUnpack};
    wire::Call request;
    request.op = kOperations[script_.u8() % std::size(kOperations)];
    request.flags = script_.u8();
    request.path = path();
    request.to = path();
    request.mode = 0700;
    request.uid = 1;
    request.mtime_ns = -1;
    request.offset = request.flags;
    say(Type::kCall, 0, ++last_stream_, wire::encode(request));
  }

  void wake() {
    const uint8_t shape = script_.u8();
    wire::Wake request;
    request.restored = (shape & 1) != 0;
    request.hold = (shape & 2) != 0;
    request.nonce = "n";
    request.env = {{"WOKEN", "1"}};
    if ((shape & 4) != 0) request.shares = {{"tag", false, "/mnt/tag", false}};
    if (request.restored) last_stream_ = 0;
    say(Type::kWake, 0, 0, wire::encode(request));
  }

  void host_step(Step step) {
    if (step == Step::kCall) return call();
    if (step == Step::kQuiesce) return say(Type::kQuiesce, 0, 0, wire::encode(wire::Quiesce{1}));
    if (step == Step::kThaw) return say(Type::kThaw, 0, 0, {});
    if (step == Step::kWake) return wake();
    if (step == Step::kRaw) return say(script_.bytes());
    if (step == Step::kExec) return exec();
    const uint64_t stream = script_.u8();
    if (step == Step::kFrame) {
      const auto type = static_cast<Type>(script_.u8());
      const uint16_t flags = script_.u16();
      say(type, flags, stream, script_.bytes());
    } else if (step == Step::kData) {
      const bool eof = (script_.u8() & 1) != 0;
      const std::string bytes(script_.u16(), 'd');
      say(Type::kData, wire::channel_flags(Channel::kStdin, eof), stream, bytes);
    } else if (step == Step::kCredit) {
      const auto channel = static_cast<Channel>(script_.u8() % 3);
      say(Type::kCredit, wire::channel_flags(channel), stream, wire::encode_credit(script_.u32()));
    } else if (step == Step::kClose) {
      say(Type::kClose, wire::channel_flags(static_cast<Channel>(script_.u8() % 3)), stream, {});
    } else if (step == Step::kSignal) {
      const auto scope = static_cast<wire::SignalScope>(script_.u8() % 3);
      say(Type::kSignal, 0, stream, wire::encode(wire::Signal{script_.u8(), scope}));
    } else if (step == Step::kResize) {
      say(Type::kResize, 0, stream, wire::encode(wire::WindowSize{script_.u16(), 80}));
    } else {
      say(Type::kShutdown, 0, 0, wire::encode(wire::Shutdown{script_.u16()}));
    }
  }

  void command_step(Step step) {
    const uint8_t which = script_.u8();
    auto& processes = machine().processes;
    if (processes.empty()) return;
    const size_t index = which % processes.size();
    auto& fds = processes[index].fds;
    if (step == Step::kPrint) {
      const int fd = fds[1 + script_.u8() % 2].get();
      const std::string bytes(script_.u16(), 'p');
      if (fd >= 0) (void)!write(fd, bytes.data(), bytes.size());
    } else if (step == Step::kRead) {
      std::string bytes(script_.u16() + size_t{1}, '\0');
      if (fds[0]) (void)!read(fds[0].get(), bytes.data(), bytes.size());
    } else if (step == Step::kCloseEnd) {
      fds[script_.u8() % 3].reset();
    } else {
      const uint8_t code = script_.u8();
      // As wait() tells it: a code, or a signal.
      vmette_fuzz::end_process(index, (code & 1) != 0 ? (code >> 1) << 8 : code >> 1);
    }
  }

  void other_step(Step step) {
    const uint8_t value = script_.u8();
    if (step == Step::kHearing) {
      hearing_ = (value & 1) != 0;
    } else {
      machine().spawn_stage = 1 + value % 6;
      machine().spawn_error = value == 0 ? 1 : value % 128;
    }
  }

  Script script_;
  vmette::agent::Modules modules_;
  vmette::agent::Uevents devices_;
  UniqueFd host_;
  bool hearing_ = true;
  bool deaf_ = false;
  uint64_t last_stream_ = 0;
  AgentModel model_;
  std::optional<Agent> agent_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool prepared = [] {
    signal(SIGPIPE, SIG_IGN);
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    return pthread_sigmask(SIG_BLOCK, &children, nullptr) == 0;
  }();
  require(prepared, "SIGCHLD is blocked");
  Play(Script(data, size)).run();
  return 0;
}
