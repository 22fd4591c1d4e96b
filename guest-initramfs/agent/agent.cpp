#include "agent.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "machine.h"
#include "system.h"
#include "wire/messages.h"

namespace vmette::agent {

using wire::Type;

Agent::Children::Children(Loop& loop, Agent& agent) : agent_(agent) {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  signals_.reset(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_ || loop.watch(signals_.get(), EPOLLIN, *this) != 0) die("cannot watch children");
}

void Agent::Children::ready(uint32_t) {
  signalfd_siginfo info[16];
  while (read(signals_.get(), info, sizeof info) > 0) {
  }
  agent_.reap();
}

Agent::Agent(UniqueFd port, Modules& modules, Uevents& devices, uint64_t start_us)
    : control_(loop_, std::move(port), *this),
      modules_(modules),
      devices_(devices),
      start_us_(start_us),
      null_(open("/dev/null", O_RDWR | O_CLOEXEC)),
      commands_({loop_, control_, root_, cgroups_, base_env_, null_.get(), nullptr}),
      calls_({loop_, control_, root_, nullptr}),
      power_off_(loop_, control_, root_),
      children_(loop_, *this) {
  if (!null_) die("no /dev/null");
}

void Agent::run() {
  greet();
  bool busy = true;
  while (true) busy = turn(busy);
}

bool Agent::turn(bool busy) {
  loop_.turn(busy);
  const bool more = control_.pump();
  commands_.sweep();
  calls_.sweep();
  return more;
}

void Agent::greet() {
  wire::Hello hello;
  hello.generation = wire::kGeneration;
  hello.oldest_generation = wire::kOldestGeneration;
  hello.agent_version = VMETTE_VERSION;
  utsname name{};
  if (uname(&name) == 0) {
    hello.kernel_release = name.release;
    hello.arch = name.machine;
  }
  hello.start_us = start_us_;
  hello.now_us = uptime_us();
  control_.send(Type::kHello, 0, 0, encode(hello));
}

void Agent::frame(const wire::Frame& frame) {
  if (state_ == State::kEnding) return;
  if (frame.type == Type::kShutdown) return shut_down(frame);
  if (state_ == State::kGreeted && frame.type == Type::kSetup) return set_up(frame);
  if (state_ != State::kReady || frame.type == Type::kSetup)
    return broken(wire::type_name(static_cast<uint16_t>(frame.type)) + " is not legal now");
  switch (frame.type) {
    case Type::kExec:
      return exec(frame);
    case Type::kData:
    case Type::kCredit:
    case Type::kClose:
    case Type::kSignal:
    case Type::kResize:
      // A frame for a stream that is over may have crossed its end.
      if (Command* command = commands_.find(frame.stream)) return stream_frame(*command, frame);
      if (OpenCall* open = calls_.find(frame.stream)) call_frame(*open, frame);
      return;
    case Type::kCall:
      return call(frame);
    default:
      broken("this agent does not know " + wire::type_name(static_cast<uint16_t>(frame.type)));
  }
}

bool Agent::new_stream(const wire::Frame& frame) {
  if (frame.stream <= last_stream_) {
    broken("stream " + std::to_string(frame.stream) + " opened after stream " +
           std::to_string(last_stream_));
    return false;
  }
  last_stream_ = frame.stream;
  return true;
}

void Agent::set_up(const wire::Frame& frame) {
  const auto setup = wire::decode<wire::Setup>(frame.payload);
  if (!setup.value) return broken("SETUP: " + setup.error);
  wire::Failure failure;
  try {
    return apply(*setup.value);
  } catch (const SetupError& error) {
    failure = error.failure();
  }
  state_ = State::kFailed;
  control_.send(Type::kError, 0, 0, encode(failure));
}

void Agent::apply(const wire::Setup& setup) {
  if (setup.generation < wire::kOldestGeneration || setup.generation > wire::kGeneration)
    throw SetupError("generation", EPROTO, "",
                     "the host chose generation " + std::to_string(setup.generation) +
                         "; this agent speaks " + std::to_string(wire::kOldestGeneration) + " to " +
                         std::to_string(wire::kGeneration));
  wire::Ready ready;
  add_entropy(setup.entropy);
  set_clock(setup.realtime_ns);
  set_hostname(setup.hostname);
  bring_up_loopback();
  ready.steps.push_back({"identity", uptime_us()});
  root_ = set_up_root(setup, modules_, devices_, ready.steps);
  cgroups_.open(root_.cgroups.get());
  base_env_ = setup.env;
  state_ = State::kReady;
  ready.now_us = uptime_us();
  control_.send(Type::kReady, 0, 0, encode(ready));
}

void Agent::exec(const wire::Frame& frame) {
  const auto request = wire::decode<wire::Exec>(frame.payload);
  if (!request.value) return broken("EXEC: " + request.error);
  if (!new_stream(frame)) return;
  if (!commands_.exec(frame.stream, *request.value)) broken("too many streams are open");
}

void Agent::call(const wire::Frame& frame) {
  const auto request = wire::decode<wire::Call>(frame.payload);
  if (!request.value) return broken("CALL: " + request.error);
  if (!new_stream(frame)) return;
  if (!calls_.begin(frame.stream, *request.value)) broken("too many calls are open");
}

void Agent::call_frame(OpenCall& call, const wire::Frame& frame) {
  const auto name = wire::type_name(static_cast<uint16_t>(frame.type));
  if (frame.type == Type::kClose) {
    call.cancel();
    // What it had begun is undone before the next call is heard.
    calls_.sweep();
  } else if (frame.type == Type::kData) {
    if (!call.data(frame)) broken(name + ": beyond its credit or on a wrong channel");
  } else if (frame.type == Type::kCredit) {
    if (!call.credit(frame)) broken(name + ": more than was consumed or on a wrong channel");
  } else {
    broken(name + " is not legal for a call");
  }
}

void Agent::stream_frame(Command& command, const wire::Frame& frame) {
  const auto undecoded = [&](const std::string& why) {
    broken(wire::type_name(static_cast<uint16_t>(frame.type)) + ": " + why);
  };
  if (frame.type == Type::kData) {
    if (!command.data(frame)) undecoded("beyond its credit, after EOF or on a wrong channel");
  } else if (frame.type == Type::kCredit) {
    if (!command.credit(frame)) undecoded("more than was consumed or on a wrong channel");
  } else if (frame.type == Type::kClose) {
    command.close(static_cast<wire::Channel>(frame.channel()));
  } else if (frame.type == Type::kSignal) {
    const auto request = wire::decode<wire::Signal>(frame.payload);
    request.value ? command.signal(*request.value) : undecoded(request.error);
  } else {
    const auto size = wire::decode<wire::WindowSize>(frame.payload);
    size.value ? command.resize(*size.value) : undecoded(size.error);
  }
}

void Agent::shut_down(const wire::Frame& frame) {
  const auto request = wire::decode<wire::Shutdown>(frame.payload);
  if (!request.value) return broken("SHUTDOWN: " + request.error);
  begin_power_off(request.value->grace_ms);
}

void Agent::begin_power_off(uint32_t grace_ms) {
  state_ = State::kEnding;
  calls_.abandon();
  power_off_.begin(grace_ms);
  // With no process there is no SIGCHLD to wait for.
  reap();
}

void Agent::broken(std::string_view why) {
  console("the host broke the protocol: " + std::string(why));
  control_.stop_reading();
  begin_power_off(0);
}

void Agent::lost() {
  console("the host has gone");
  begin_power_off(0);
}

void Agent::reap() {
  if (commands_.reap()) power_off_.all_processes_ended();
}

}  // namespace vmette::agent
