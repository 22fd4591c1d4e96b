#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/event.h"

namespace vmette::core {

class Session;

// A machine as its pool sees it. Any thread.
class PoolMachine {
 public:
  struct Watcher {
    std::function<void(Result<void>)> started;  // it is ready, or has failed and is gone
    std::function<void()> ended;                // it was ready, and nothing of it is left
  };

  virtual ~PoolMachine() = default;
  // Once. What has happened before is told as well. The watcher is called from another thread,
  // never from within a call of the pool's; if this throws, not at all.
  virtual void watch(Watcher watcher) = 0;
  [[nodiscard]] virtual bool usable() const = 0;
  // Asks for its end and returns at once.
  virtual void end() = 0;
  // Returns when nothing of it is left. Somebody has asked for its end.
  virtual void wait_end() = 0;
  // Why it ended.
  [[nodiscard]] virtual std::string end_message() const = 0;
  // What its taker gets.
  [[nodiscard]] virtual std::shared_ptr<Session> session() const = 0;
};

class PoolStarter {
 public:
  virtual ~PoolStarter() = default;
  // Begins to start a machine. Called on the pool's thread, one at a time; may block as long as
  // reading a few files and starting a process take.
  virtual Result<std::shared_ptr<PoolMachine>> start() = 0;
};

struct PoolOptions {
  uint32_t ready = 1;  // machines that are kept ready
  uint32_t most = 0;   // machines that live at a time; 0: no limit
  // After so long without a take the ready ones are ended. 0: never.
  std::chrono::milliseconds idle{0};
};

// How the pool treats a host that is slow and a configuration that is broken.
struct PoolPace {
  uint32_t starting = 0;                       // starts at a time; 0: as the host has processors
  std::chrono::milliseconds first_delay{100};  // before another try; doubled with each failure
  std::chrono::milliseconds longest_delay{5000};
  // Failures that lie so far apart have nothing to do with one another.
  std::chrono::milliseconds forget{60'000};
};

// How long to wait after so many failures in a row, at least one.
std::chrono::milliseconds pool_delay(const PoolPace& pace, uint32_t failures);

struct PoolCounts {
  size_t ready = 0;
  size_t starting = 0;
  size_t taken = 0;   // handed out, and not ended yet
  size_t ending = 0;  // the pool ends them
  size_t waiting = 0;
  uint64_t started = 0;  // starts that were tried, in all
  uint64_t failed = 0;   // of those, the ones that came to nothing
  uint64_t died = 0;     // machines that ended while they were ready
  std::string last_error;
};

// A place in a pool's queue. Nothing of it changes but through the pool.
class PoolRequest {
 public:
  // Set when its turn has come, or the pool has failed it.
  [[nodiscard]] const Event& done() const { return done_; }

 private:
  friend class Pool;
  enum class State : uint8_t { kWaits, kServed, kFailed, kCollected };
  struct Given {
    uint64_t id = 0;
    std::shared_ptr<PoolMachine> machine;
  };

  Event done_;
  // Guarded by the pool's mutex.
  State state_ = State::kWaits;
  uint64_t ticket_ = 0;
  Given given_;  // when it was served
  Error error_;  // when it has failed
};

// Keeps machines ready and hands them out, first come, first served.
//
//   starting --started--> ready --take--> taken --ended--> (gone)
//      |                    |                ^
//      |                    \-- (it died)    | a request that nobody collected gives it back
//      \--- (failed)        \-- idle, close: ending --ended--> (gone)
//
// A machine that gets ready goes to whoever has waited longest; while somebody waits none is ready.
// So ready ones exist only when the queue is empty, and a take that finds one is not overtaking.
//
// Threads: every public method from any thread. One thread of its own begins the starts and keeps
// the time; machines tell of themselves from their own.
// Whoever makes a pool closes it before the last reference goes.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  using Machine = std::shared_ptr<PoolMachine>;

  // Begins to fill it in the background.
  static Result<std::shared_ptr<Pool>> create(std::unique_ptr<PoolStarter> starter,
                                              PoolOptions options, PoolPace pace = {});
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() = default;

  // Waits for its turn; what fails gives its place up. The machine is the caller's.
  Result<Machine> take(int64_t timeout_ms);
  // The same in two steps, for those who wait for a descriptor.
  Result<std::shared_ptr<PoolRequest>> request();
  // kDeadline leaves the request in its place; kState when it was collected before.
  Result<Machine> collect(PoolRequest& request, int64_t timeout_ms);
  // Gives the place up, or the machine back that nobody has collected. After close() it ends that
  // machine and waits for it.
  void cancel(PoolRequest& request);

  [[nodiscard]] PoolCounts counts() const;

  // Fails who waits, ends the machines that are the pool's and waits until they are gone. What was
  // handed out lives on. Idempotent.
  void close();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Place : uint8_t { kStarting, kReady, kTaken, kEnding };
  struct Entry {
    Place place = Place::kStarting;
    Machine machine;  // null while its start is under way, and once it was taken
  };
  using Entries = std::map<uint64_t, Entry>;

  Pool(std::unique_ptr<PoolStarter> starter, PoolOptions options, PoolPace pace);

  // The pool's thread.
  void work();
  void start_one(std::unique_lock<std::mutex>& lock);
  Result<void> begin(uint64_t id);
  PoolMachine::Watcher watcher(uint64_t id);

  // What machines tell. Any thread.
  void started(uint64_t id, const Result<void>& outcome);
  void ended(uint64_t id);

  // All of these need mutex_.
  [[nodiscard]] size_t in(Place place) const { return places_[static_cast<size_t>(place)]; }
  void move(Entry& entry, Place place);
  void erase(Entries::iterator entry);
  [[nodiscard]] bool lacks_machines() const;
  [[nodiscard]] bool may_start(Clock::time_point now) const;
  [[nodiscard]] Clock::time_point idle_at() const;
  [[nodiscard]] Clock::time_point wake_at() const;
  void fall_asleep();
  Result<void> note_take();
  Result<std::shared_ptr<PoolRequest>> enqueue();
  void leave_queue(uint64_t ticket);
  std::optional<PoolRequest::Given> take_ready();
  Machine give(Entry& entry);
  void serve(PoolRequest& request, PoolRequest::Given given);
  void fail(PoolRequest& request, const Error& error);
  void offer(Entries::iterator entry);
  void give_back(uint64_t id, Machine machine);
  void start_failed(const Error& error);
  void note_death(const Entry& entry);
  void note_trouble(std::string what);
  [[nodiscard]] Error late(int64_t timeout_ms) const;
  Result<Machine> collect_now(PoolRequest& request, int64_t timeout_ms);

  // Constant after construction.
  const std::unique_ptr<PoolStarter> starter_;
  const PoolOptions options_;
  const PoolPace pace_;

  std::mutex close_mutex_;  // one close() at a time; taken before mutex_
  std::thread thread_;      // guarded by close_mutex_ once it runs

  mutable std::mutex mutex_;
  std::condition_variable changed_;  // for the pool's thread
  // Guarded by mutex_.
  bool closed_ = false;
  bool asleep_ = false;  // idle for too long: none is kept ready until the next take
  Entries entries_;      // every machine that lives, by its number
  size_t places_[4] = {};
  uint64_t next_id_ = 1;
  std::deque<uint64_t> ready_;                              // oldest first
  std::map<uint64_t, std::shared_ptr<PoolRequest>> queue_;  // by ticket
  uint64_t next_ticket_ = 1;
  Clock::time_point last_use_ = Clock::now();  // when somebody took, or stopped waiting
  // Trouble: starts that failed and machines that died while they were ready.
  bool probing_ = false;   // the last start failed: one at a time until one succeeds
  uint32_t troubles_ = 0;  // in a row, without a machine that was taken
  Clock::time_point last_trouble_{};
  Clock::time_point next_try_{};  // while nobody waits
  uint64_t started_ = 0;
  uint64_t failed_ = 0;
  uint64_t died_ = 0;
  std::string last_error_;
};

}  // namespace vmette::core
