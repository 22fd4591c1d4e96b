// The protocol's state machine: what a frame means in which state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "calls.h"
#include "cgroups.h"
#include "commands.h"
#include "control.h"
#include "loop.h"
#include "modules.h"
#include "power_off.h"
#include "root_fs.h"
#include "stillness.h"
#include "uevents.h"
#include "wire/codec.h"

namespace vmette::agent {

class Agent final : private ControlStream::Peer {
 public:
  // Takes the open port. SIGCHLD must be blocked.
  Agent(UniqueFd port, Modules& modules, Uevents& devices, uint64_t start_us);

  // Greets the host and serves it until the machine is off.
  [[noreturn]] void run();

  // What run() is made of, for tests: the first message, and one turn of the loop that waits only
  // when not `busy`. True when there is more to do at once.
  void greet(const std::string& nonce = {});
  bool turn(bool busy);

 private:
  enum class State : uint8_t {
    kGreeted,  // HELLO is sent, SETUP must come
    kReady,    // commands are served
    kCalming,  // QUIESCE has come; it is followed when what has come with it is read
    kStill,    // QUIESCED is sent; WAKE must come
    kFailed,   // set-up failed: only SHUTDOWN is legal
    kEnding,   // on the way to power-off; what the host still sends is ignored
  };

  // SIGCHLD as a descriptor.
  class Children final : private Watcher {
   public:
    Children(Loop& loop, Agent& agent);

   private:
    void ready(uint32_t events) override;
    Agent& agent_;
    UniqueFd signals_;
  };

  void frame(const wire::Frame& frame) override;
  void broken(std::string_view why) override;
  void lost() override;

  void set_up(const wire::Frame& frame);
  void apply(const wire::Setup& setup);
  void exec(const wire::Frame& frame);
  void call(const wire::Frame& frame);
  void call_frame(OpenCall& call, const wire::Frame& frame);
  void stream_frame(Command& command, const wire::Frame& frame);
  void begin_calming(const wire::Frame& frame);
  void calm_down();
  bool say_all();
  void give_up_calming(const wire::Failure& failure);
  void wake(const wire::Frame& frame);
  void disown();
  void thaw();
  void shut_down(const wire::Frame& frame);
  void begin_power_off(uint32_t grace_ms);
  void reap();
  bool new_stream(const wire::Frame& frame);

  Loop loop_;
  ControlStream control_;
  Modules& modules_;
  Uevents& devices_;
  uint64_t start_us_;
  State state_ = State::kGreeted;
  RootFs root_;
  Cgroups cgroups_;
  wire::EnvList base_env_;
  UniqueFd null_;
  Commands commands_;
  Calls calls_;
  PowerOff power_off_;
  Stillness stillness_;
  Loop port_loop_;  // watches the port alone, in state kStill
  uint64_t calm_by_us_ = 0;
  Children children_;
  uint64_t last_stream_ = 0;
};

}  // namespace vmette::agent
