// Machines that do what a test says.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/pool.h"

namespace vmette_test {

using vmette::core::Code;
using vmette::core::Error;
using vmette::core::PoolMachine;
using vmette::core::PoolStarter;
using vmette::core::Result;

// Past anything that a slow host takes: reaching it is a hang.
inline constexpr int64_t kLongMs = 60'000;

// Waits for what has to come. From threads that may not use Catch's macros, so a hang ends it all.
template <class Holds>
void insist(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, Holds holds) {
  if (changed.wait_for(lock, std::chrono::milliseconds(kLongMs), holds)) return;
  std::fputs("a machine does not come\n", stderr);
  std::abort();
}

// A machine that starts, fails and ends when the test says so. It tells its pool from the test's
// thread.
class FakeMachine : public PoolMachine, public std::enable_shared_from_this<FakeMachine> {
 public:
  using Hook = std::function<void(const std::shared_ptr<FakeMachine>&)>;

  explicit FakeMachine(size_t number, Hook on_end) : number_(number), on_end_(std::move(on_end)) {}

  // What the test does.
  [[nodiscard]] size_t number() const { return number_; }
  void get_ready() { start_with(vmette::core::success()); }
  void fail(const std::string& why) { start_with(Error(Code::kStartFailed, why)); }
  void die() {
    set_over();
    tell_end();
  }
  // Dies, and nobody hears of it yet.
  void set_over() {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  void tell_end() {
    if (const auto ended = watcher().ended) ended();
  }
  [[nodiscard]] bool end_was_asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void wait_until_asked() {
    std::unique_lock lock(mutex_);
    insist(changed_, lock, [this] { return asked_; });
  }

  void wait_until_awaited() {
    std::unique_lock lock(mutex_);
    insist(changed_, lock, [this] { return awaited_; });
  }

  // What the pool does.
  void watch(Watcher watcher) override {
    const std::lock_guard lock(mutex_);
    watcher_ = std::move(watcher);
    changed_.notify_all();
  }
  [[nodiscard]] bool usable() const override {
    const std::lock_guard lock(mutex_);
    return !over_;
  }
  void end() override {
    {
      const std::lock_guard lock(mutex_);
      asked_ = true;
      if (obedient_) over_ = true;
      changed_.notify_all();
    }
    if (on_end_) on_end_(shared_from_this());
  }
  void wait_end() override {
    std::unique_lock lock(mutex_);
    awaited_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return over_; });
  }
  [[nodiscard]] std::string end_message() const override { return "the fake died"; }
  [[nodiscard]] std::shared_ptr<vmette::core::Session> session() const override { return nullptr; }
  // Ends only when the test says so.
  void disobey() {
    const std::lock_guard lock(mutex_);
    obedient_ = false;
  }

 private:
  void start_with(const Result<void>& outcome) {
    if (!outcome) set_over();
    watcher().started(outcome);
  }
  Watcher watcher() {
    std::unique_lock lock(mutex_);
    insist(changed_, lock, [this] { return watcher_.has_value(); });
    return *watcher_;
  }

  const size_t number_;
  const Hook on_end_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Watcher> watcher_;
  bool asked_ = false;
  bool awaited_ = false;
  bool over_ = false;
  bool obedient_ = true;
};

// The machines of a pool, in the order of their starts.
class FakeMachines {
 public:
  using OnStart = std::function<Result<void>(size_t)>;

  // For the pool; the test keeps this object for longer.
  std::unique_ptr<PoolStarter> starter() { return std::make_unique<Starter>(*this); }
  // Set before the pool is made: whether a start begins at all; who hears, within the pool's calls,
  // of machines that were made and of those that shall end.
  void on_start(OnStart decide) { decide_ = std::move(decide); }
  void on_made(FakeMachine::Hook hear) { made_ = std::move(hear); }
  void on_end(FakeMachine::Hook hear) { end_ = std::move(hear); }

  // Waits for the start of machine `number`, from 0 on.
  std::shared_ptr<FakeMachine> operator[](size_t number) {
    std::unique_lock lock(mutex_);
    insist(started_, lock, [&] { return machines_.count(number) == 1; });
    return machines_[number];
  }
  // Waits until so many starts have been tried.
  void wait_for_tries(size_t count) {
    std::unique_lock lock(mutex_);
    insist(started_, lock, [&] { return tries_ >= count; });
  }
  [[nodiscard]] size_t tries() const {
    const std::lock_guard lock(mutex_);
    return tries_;
  }
  // As its index, the number of a machine that was taken.
  static size_t number(const std::shared_ptr<PoolMachine>& machine) {
    return static_cast<const FakeMachine&>(*machine).number();
  }

 private:
  class Starter : public PoolStarter {
   public:
    explicit Starter(FakeMachines& machines) : machines_(machines) {}
    Result<std::shared_ptr<PoolMachine>> start() override { return machines_.start(); }

   private:
    FakeMachines& machines_;
  };

  Result<std::shared_ptr<PoolMachine>> start() {
    const std::lock_guard lock(mutex_);
    const size_t number = tries_++;
    started_.notify_all();
    if (decide_) {
      const auto decided = decide_(number);
      if (!decided) return decided.error();
    }
    auto machine = std::make_shared<FakeMachine>(number, end_);
    machines_[number] = machine;
    if (made_) made_(machine);
    return std::shared_ptr<PoolMachine>(machine);
  }

  mutable std::mutex mutex_;
  std::condition_variable started_;
  OnStart decide_;
  FakeMachine::Hook made_;
  FakeMachine::Hook end_;
  size_t tries_ = 0;
  std::map<size_t, std::shared_ptr<FakeMachine>> machines_;
};

}  // namespace vmette_test
