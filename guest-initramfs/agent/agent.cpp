#include "agent.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

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
  // However many have ended, the signal is pending once.
  signalfd_siginfo info;
  [[maybe_unused]] const ssize_t got = read(signals_.get(), &info, sizeof info);
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
      stillness_(root_, cgroups_, modules_),
      children_(loop_, *this) {
  if (!null_) die("no /dev/null");
}

void Agent::run() {
  greet();
  bool busy = true;
  while (true) busy = turn(busy);
}

bool Agent::turn(bool busy) {
  if (state_ == State::kStill) {
    // What else has happened is heard of after WAKE.
    port_loop_.turn(busy);
    return control_.pump();
  }
  loop_.turn(busy);
  bool more = control_.pump();
  if (state_ == State::kCalming) {
    calm_down();
    more = true;
  }
  commands_.sweep();
  calls_.sweep();
  return more;
}

void Agent::greet(const std::string& nonce) {
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
  hello.nonce = nonce;
  control_.send(Type::kHello, 0, 0, encode(hello));
}

void Agent::frame(const wire::Frame& frame) {
  if (state_ == State::kEnding) return;
  if (frame.type == Type::kShutdown) return shut_down(frame);
  if (state_ == State::kGreeted && frame.type == Type::kSetup) return set_up(frame);
  if (state_ == State::kStill && frame.type == Type::kWake) return wake(frame);
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
    case Type::kQuiesce:
      return begin_calming(frame);
    case Type::kThaw:
      return thaw();
    default:
      broken(wire::type_name(static_cast<uint16_t>(frame.type)) + " is not legal now");
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
  stillness_.remember(setup);
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

void Agent::begin_calming(const wire::Frame& frame) {
  const auto request = wire::decode<wire::Quiesce>(frame.payload);
  if (!request.value) return broken("QUIESCE: " + request.error);
  if (stillness_.frozen()) return broken("QUIESCE is not legal before THAW");
  calm_by_us_ = uptime_us() + uint64_t{request.value->timeout_ms} * 1000;
  state_ = State::kCalming;
}

void Agent::calm_down() {
  wire::Quiesced message;
  try {
    message.frozen = stillness_.begin(calm_by_us_);
  } catch (const SetupError& error) {
    return give_up_calming(error.failure());
  }
  if (!say_all()) {
    wire::Failure failure{"quiesce", ETIMEDOUT, "",
                          "the host did not take in time what was on its way to it"};
    try {
      stillness_.give_up();
    } catch (const SetupError& error) {
      failure = error.failure();
    }
    return give_up_calming(failure);
  }
  if (state_ != State::kCalming) return;
  state_ = State::kStill;
  control_.send(Type::kQuiesced, 0, 0, encode(message));
  control_.move_to(port_loop_);
}

void Agent::give_up_calming(const wire::Failure& failure) {
  if (state_ == State::kCalming) state_ = State::kReady;
  control_.send(Type::kError, 0, 0, encode(failure));
}

// Sends all that the frozen machine has for the host and may be sent. False when that takes too
// long.
bool Agent::say_all() {
  commands_.look();
  for (bool news = true; news || !control_.output().idle();) {
    const uint64_t now = uptime_us();
    const uint64_t left_ms = calm_by_us_ > now ? (calm_by_us_ - now + 999) / 1000 : 0;
    if (!control_.flush(static_cast<int>(std::min<uint64_t>(left_ms, INT_MAX)))) return false;
    news = loop_.turn(true);
    commands_.sweep();
    calls_.sweep();
    if (state_ != State::kCalming) return true;
  }
  return true;
}

// In this order: what is said on the new connection begins with HELLO.
void Agent::wake(const wire::Frame& frame) {
  const auto request = wire::decode<wire::Wake>(frame.payload);
  if (!request.value) return broken("WAKE: " + request.error);
  control_.move_to(loop_);
  try {
    if (request.value->restored) disown();
    stillness_.wake(*request.value);
  } catch (const SetupError& error) {
    state_ = State::kFailed;
    return control_.send(Type::kError, 0, 0, encode(error.failure()));
  }
  if (request.value->restored) base_env_ = request.value->env;
  state_ = State::kReady;
  greet(request.value->nonce);
  if (!request.value->hold) stillness_.thaw();
}

// The old connection and all of its streams are over.
void Agent::disown() {
  commands_.disown();
  calls_.abandon();
  last_stream_ = 0;
}

void Agent::thaw() {
  if (!stillness_.frozen()) return broken("THAW is not legal without a WAKE that holds");
  stillness_.thaw();
}

void Agent::shut_down(const wire::Frame& frame) {
  const auto request = wire::decode<wire::Shutdown>(frame.payload);
  if (!request.value) return broken("SHUTDOWN: " + request.error);
  begin_power_off(request.value->grace_ms);
}

void Agent::begin_power_off(uint32_t grace_ms) {
  if (state_ == State::kStill) control_.move_to(loop_);
  state_ = State::kEnding;
  // What is frozen could not act on a signal.
  stillness_.thaw();
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
