// Everything at once: takers with short deadlines, requests that are given up, machines that fail
// and die. Whatever the order, no machine is lost and none is given twice.
#include <atomic>
#include <chrono>
#include <deque>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "fake_machines.h"
#include "support/catch.h"

using namespace vmette_test;
using namespace std::chrono_literals;
using vmette::core::Pool;
using vmette::core::PoolCounts;

namespace {

// A thread that lets machines get ready, fail and end as they come, until stop().
class Host {
 public:
  explicit Host(uint32_t seed) : random_(seed), thread_([this] { run(); }) {}
  ~Host() {
    if (thread_.joinable()) stop();
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void started(std::shared_ptr<FakeMachine> machine) { add({std::move(machine), Step::kStart}); }
  // Whoever took it is done with it.
  void done(const std::shared_ptr<PoolMachine>& machine) {
    add({std::static_pointer_cast<FakeMachine>(machine), Step::kEnd});
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

 private:
  enum class Step : uint8_t { kStart, kEnd };
  struct Job {
    std::shared_ptr<FakeMachine> machine;
    Step step;
  };

  void add(Job job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
  }
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stopped_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      step(job);
      lock.lock();
    }
  }
  void step(const Job& job) {
    if (job.step == Step::kEnd) return job.machine->die();
    if (random_() % 8 == 0) return job.machine->fail("unlucky");
    job.machine->get_ready();
    // Some die at once, whoever has them by then.
    if (random_() % 8 == 0) job.machine->die();
  }

  std::minstd_rand random_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace

TEST_CASE("a storm of takers loses no machine and gives none twice") {
  constexpr size_t kTakers = 12;
  constexpr size_t kTurns = 400;
  FakeMachines machines;
  Host host(7);
  machines.on_made([&](const auto& machine) { host.started(machine); });
  machines.on_end([&](const auto& machine) { host.done(machine); });
  const auto made = Pool::create(machines.starter(), {.ready = 3, .most = 6},
                                 {.starting = 3, .first_delay = 1ms, .longest_delay = 1ms});
  REQUIRE(made);
  const auto& pool = made.value();

  std::mutex mutex;
  std::multiset<size_t> taken;
  const auto use = [&](const Result<Pool::Machine>& outcome) {
    if (!outcome) return;
    {
      const std::lock_guard lock(mutex);
      taken.insert(FakeMachines::number(outcome.value()));
    }
    host.done(outcome.value());
  };
  const auto taker = [&](uint32_t seed) {
    std::minstd_rand random(seed);
    for (size_t turn = 0; turn < kTurns; ++turn) {
      const auto patience = static_cast<int64_t>(random() % 3);
      if (random() % 2 == 0) {
        use(pool->take(patience));
        continue;
      }
      const auto request = pool->request();
      if (!request) continue;
      if (random() % 2 == 0) use(pool->collect(*request.value(), patience));
      pool->cancel(*request.value());
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t i = 1; i <= kTakers; ++i) threads.emplace_back(taker, i);
  for (auto& thread : threads) thread.join();

  // It still works, for one who is patient and tries again when a start fails.
  auto last = pool->take(kLongMs);
  while (!last && last.error().code == Code::kStartFailed) last = pool->take(kLongMs);
  CHECK(last);
  use(last);
  pool->close();
  host.stop();
  const PoolCounts counts = pool->counts();
  CHECK(counts.waiting == 0);
  CHECK(counts.ready + counts.starting + counts.taken + counts.ending == 0);
  CHECK(std::set<size_t>(taken.begin(), taken.end()).size() == taken.size());
  CHECK(!taken.empty());
  CHECK(counts.started == machines.tries());
}
