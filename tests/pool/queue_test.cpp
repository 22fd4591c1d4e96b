// Who gets which machine, and when: the pool's rules, with machines that the test plays.
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
using vmette::core::PoolOptions;
using vmette::core::PoolPace;
using vmette::core::PoolRequest;

namespace {

using Request = std::shared_ptr<PoolRequest>;

// A pool that is closed at the end of its test.
class Fixture {
 public:
  explicit Fixture(PoolOptions options, PoolPace pace = {.starting = 64}) {
    auto made = Pool::create(machines.starter(), options, pace);
    REQUIRE(made);
    pool_ = made.value();
  }
  explicit Fixture(FakeMachines::OnStart decide, PoolOptions options = {}, PoolPace pace = {}) {
    machines.on_start(std::move(decide));
    auto made = Pool::create(machines.starter(), options, pace);
    REQUIRE(made);
    pool_ = made.value();
  }
  ~Fixture() { pool_->close(); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  Pool* operator->() { return pool_.get(); }
  Pool& operator*() { return *pool_; }

  Request request() {
    auto made = pool_->request();
    REQUIRE(made);
    return made.value();
  }
  size_t taken(PoolRequest& request, int64_t timeout_ms = 0) {
    const auto machine = pool_->collect(request, timeout_ms);
    INFO((machine ? std::string() : machine.error().message));
    REQUIRE(machine);
    return FakeMachines::number(machine.value());
  }
  size_t taken(int64_t timeout_ms = 0) {
    const auto machine = pool_->take(timeout_ms);
    INFO((machine ? std::string() : machine.error().message));
    REQUIRE(machine);
    return FakeMachines::number(machine.value());
  }
  // The counts once they satisfy `wanted`.
  template <class Wanted>
  PoolCounts counts_when(Wanted wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kLongMs);
    for (;;) {
      const PoolCounts counts = pool_->counts();
      if (wanted(counts)) return counts;
      REQUIRE(std::chrono::steady_clock::now() < end);
      std::this_thread::yield();
    }
  }

  FakeMachines machines;

 private:
  std::shared_ptr<Pool> pool_;
};

Error error_of(const Result<Pool::Machine>& outcome) {
  REQUIRE(!outcome);
  return outcome.error();
}

// It is set, or will never be: what a test does has been done when its call returns.
bool is_done(const Request& request) {
  return request->done().wait(0);
}

}  // namespace

TEST_CASE("options that contradict each other are refused by name") {
  FakeMachines machines;
  const auto none = Pool::create(machines.starter(), {.ready = 0});
  REQUIRE(!none);
  CHECK(none.error().code == Code::kInvalidArgument);
  CHECK(none.error().message.find("ready: 0") == 0);
  const auto few = Pool::create(machines.starter(), {.ready = 3, .most = 2});
  REQUIRE(!few);
  CHECK(few.error().code == Code::kInvalidArgument);
  CHECK(few.error().message.find("most: 2") == 0);
  CHECK(machines.tries() == 0);
}

TEST_CASE("a pool fills itself, hands the oldest machine out and starts another") {
  Fixture pool({.ready = 2});
  pool.machines[1]->get_ready();
  pool.machines[0]->get_ready();
  CHECK(pool->counts().ready == 2);
  CHECK(pool.taken() == 1);
  CHECK(pool.taken() == 0);
  pool.machines[2]->get_ready();
  pool.machines[3]->get_ready();
  const PoolCounts counts = pool->counts();
  CHECK(counts.ready == 2);
  CHECK(counts.starting == 0);
  CHECK(counts.taken == 2);
  CHECK(counts.started == 4);
  CHECK(counts.failed == 0);
  CHECK(counts.died == 0);
  CHECK(counts.last_error.empty());
}

TEST_CASE("50 who wait are served in the order in which they came, as requests") {
  Fixture pool({.ready = 1});
  std::vector<Request> requests;
  for (size_t i = 0; i < 50; ++i) requests.push_back(pool.request());
  CHECK(pool->counts().waiting == 50);
  for (size_t i = 0; i < 50; ++i) {
    pool.machines[i]->get_ready();
    REQUIRE(is_done(requests[i]));
    if (i + 1 < 50) REQUIRE(!is_done(requests[i + 1]));
    REQUIRE(pool.taken(*requests[i]) == i);
  }
  CHECK(pool->counts().taken == 50);
  CHECK(pool->counts().waiting == 0);
}

TEST_CASE("50 threads that wait are served in the order in which they came") {
  Fixture pool({.ready = 1});
  std::vector<size_t> got(50, 1000);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 50; ++i) {
    threads.emplace_back([&, i] {
      if (const auto machine = pool->take(kLongMs)) got[i] = FakeMachines::number(machine.value());
    });
    pool.counts_when([&](const PoolCounts& counts) { return counts.waiting == i + 1; });
  }
  for (size_t i = 0; i < 50; ++i) pool.machines[i]->get_ready();
  for (auto& thread : threads) thread.join();
  for (size_t i = 0; i < 50; ++i) CHECK(got[i] == i);
}

TEST_CASE("a take does not overtake a request that waits") {
  Fixture pool({.ready = 1});
  const auto request = pool.request();
  CHECK(error_of(pool->take(0)).code == Code::kDeadline);
  pool.machines[0]->get_ready();
  CHECK(error_of(pool->take(0)).code == Code::kDeadline);
  CHECK(pool.taken(*request) == 0);
}

TEST_CASE("a request finds the machine that is ready") {
  Fixture pool({.ready = 1});
  pool.machines[0]->get_ready();
  const auto request = pool.request();
  CHECK(is_done(request));
  CHECK(pool.taken(*request) == 0);
  const Error again = error_of(pool->collect(*request, 0));
  CHECK(again.code == Code::kState);
}

TEST_CASE("a deadline gives the place in the queue up") {
  Fixture pool({.ready = 1});
  CHECK(error_of(pool->take(1)).code == Code::kDeadline);
  CHECK(pool->counts().waiting == 0);
  const auto request = pool.request();
  const Error late = error_of(pool->collect(*request, 1));
  CHECK(late.code == Code::kDeadline);
  CHECK(late.message.find("after 1 ms") != std::string::npos);
  CHECK(pool->counts().waiting == 1);
  pool.machines[0]->get_ready();
  CHECK(pool.taken(*request) == 0);
}

TEST_CASE("a machine that was handed to a request which nobody collects goes to the next") {
  Fixture pool({.ready = 1});
  const auto first = pool.request();
  const auto second = pool.request();
  pool.machines[0]->get_ready();
  REQUIRE(is_done(first));
  REQUIRE(!is_done(second));
  pool->cancel(*first);
  CHECK(pool.taken(*second) == 0);
  // Once more with nobody behind it: it is ready again.
  const auto third = pool.request();
  pool.machines[1]->get_ready();
  REQUIRE(is_done(third));
  pool->cancel(*third);
  CHECK(pool.taken() == 1);
}

TEST_CASE("a request that is given up leaves the order of the others") {
  Fixture pool({.ready = 1});
  std::vector<Request> requests;
  for (size_t i = 0; i < 9; ++i) requests.push_back(pool.request());
  for (const size_t i : {0, 4, 8}) pool->cancel(*requests[i]);
  CHECK(pool->counts().waiting == 6);
  CHECK(error_of(pool->collect(*requests[4], 0)).code == Code::kCancelled);
  size_t machine = 0;
  for (const size_t i : {1, 2, 3, 5, 6, 7}) {
    pool.machines[machine]->get_ready();
    CHECK(pool.taken(*requests[i]) == machine++);
  }
}

TEST_CASE("nothing beyond what is kept ready survives those who gave up") {
  Fixture pool({.ready = 1});
  std::vector<Request> requests;
  for (size_t i = 0; i < 5; ++i) requests.push_back(pool.request());
  for (size_t i = 0; i < 6; ++i) (void)pool.machines[i];
  for (const auto& request : requests) pool->cancel(*request);
  for (size_t i = 0; i < 6; ++i) pool.machines[i]->get_ready();
  CHECK(pool->counts().ready == 1);
  CHECK(pool->counts().ending == 5);
  for (size_t i = 1; i < 6; ++i) {
    CHECK(pool.machines[i]->end_was_asked());
    pool.machines[i]->die();
  }
  const PoolCounts counts = pool->counts();
  CHECK(counts.ending == 0);
  CHECK(counts.died == 0);
  CHECK(pool.taken() == 0);
}

TEST_CASE("no more machines live than the limit says, and the end of one makes room") {
  Fixture pool({.ready = 1, .most = 2});
  pool.machines[0]->get_ready();
  CHECK(pool.taken() == 0);
  pool.machines[1]->get_ready();
  CHECK(pool.taken() == 1);
  const auto request = pool.request();
  const Error full = error_of(pool->take(1));
  CHECK(full.code == Code::kDeadline);
  CHECK(full.message.find("of at most 2, 2 are handed out") != std::string::npos);
  CHECK(pool.machines.tries() == 2);
  pool.machines[0]->die();
  pool.machines[2]->get_ready();
  CHECK(pool.taken(*request) == 2);
  CHECK(pool.machines.tries() == 3);
  CHECK(pool->counts().died == 0);
}

TEST_CASE("only so many start at a time") {
  Fixture pool({.ready = 5}, {.starting = 2});
  (void)pool.machines[1];
  CHECK(pool.machines.tries() == 2);
  CHECK(pool->counts().starting == 2);
  pool.machines[0]->get_ready();
  (void)pool.machines[2];
  CHECK(pool->counts().starting == 2);
  CHECK(pool.machines.tries() == 3);
}

TEST_CASE("a machine that dies in the pool is counted and replaced") {
  Fixture pool({.ready = 2}, {.starting = 2, .first_delay = 1ms});
  pool.machines[0]->get_ready();
  pool.machines[1]->get_ready();
  pool.machines[0]->die();
  pool.machines[2]->get_ready();
  const PoolCounts counts = pool->counts();
  CHECK(counts.died == 1);
  CHECK(counts.ready == 2);
  CHECK(counts.last_error == "a ready machine ended: the fake died");
  CHECK(pool.taken() == 1);
  CHECK(pool.taken() == 2);
}

TEST_CASE("a machine that has died is not handed out even before the news of it comes") {
  Fixture pool({.ready = 2});
  pool.machines[0]->get_ready();
  pool.machines[1]->get_ready();
  pool.machines[0]->set_over();
  CHECK(pool.taken() == 1);
  CHECK(pool->counts().died == 1);
  pool.machines[0]->tell_end();
  CHECK(pool->counts().died == 1);
  CHECK(pool->counts().ending == 0);
}

TEST_CASE("a machine that dies before its request is collected is not given back") {
  Fixture pool({.ready = 1});
  const auto request = pool.request();
  pool.machines[0]->get_ready();
  pool.machines[0]->set_over();
  pool->cancel(*request);
  CHECK(pool->counts().ready == 0);
  pool.machines[0]->tell_end();
  CHECK(pool->counts().taken == 0);
  pool.machines[1]->get_ready();
  CHECK(pool.taken() == 1);
}

TEST_CASE("the delay after failures doubles up to the longest") {
  const PoolPace pace{.first_delay = 100ms, .longest_delay = 5000ms};
  CHECK(vmette::core::pool_delay(pace, 1) == 100ms);
  CHECK(vmette::core::pool_delay(pace, 2) == 200ms);
  CHECK(vmette::core::pool_delay(pace, 6) == 3200ms);
  CHECK(vmette::core::pool_delay(pace, 7) == 5000ms);
  CHECK(vmette::core::pool_delay(pace, UINT32_MAX) == 5000ms);
}

TEST_CASE("a start that fails is tried again by itself, later each time") {
  Fixture pool([](size_t) { return Error(Code::kNotFound, "no kernel"); }, {},
               {.first_delay = 1ms, .longest_delay = 2ms});
  pool.machines.wait_for_tries(4);
  const PoolCounts counts = pool.counts_when([](const PoolCounts& now) { return now.failed >= 3; });
  CHECK(counts.last_error == "no kernel");
  CHECK(counts.ready == 0);
}

TEST_CASE("while a start is put off a take makes the pool try at once, and gets the error") {
  Fixture pool([](size_t) { return Error(Code::kNotFound, "no kernel"); }, {},
               {.first_delay = 24h, .longest_delay = 24h});
  pool.counts_when([](const PoolCounts& counts) { return counts.failed == 1; });
  for (uint64_t i = 2; i < 5; ++i) {
    const Error error = error_of(pool->take(kLongMs));
    CHECK(error.code == Code::kNotFound);
    CHECK(error.message == "no kernel");
    CHECK(pool->counts().started == i);
  }
}

TEST_CASE("all who wait get the error of the last start that was under way, and of one try") {
  Fixture pool({.ready = 2}, {.starting = 2, .first_delay = 24h, .longest_delay = 24h});
  std::vector<Request> requests;
  for (size_t i = 0; i < 50; ++i) requests.push_back(pool.request());
  (void)pool.machines[1];
  pool.machines[0]->fail("first");
  CHECK(!is_done(requests[0]));
  pool.machines[1]->fail("second");
  for (const auto& request : requests) {
    const Error error = error_of(pool->collect(*request, 0));
    CHECK(error.code == Code::kStartFailed);
    CHECK(error.message == "second");
  }
  // Those who come now share one try.
  requests.clear();
  for (size_t i = 0; i < 50; ++i) requests.push_back(pool.request());
  pool.machines[2]->fail("third");
  for (const auto& request : requests)
    CHECK(error_of(pool->collect(*request, 0)).message == "third");
  CHECK(pool.machines.tries() == 3);
  CHECK(pool->counts().failed == 3);
}

TEST_CASE("a pool recovers when starts succeed again") {
  Fixture pool({.ready = 2}, {.starting = 2, .first_delay = 24h, .longest_delay = 24h});
  (void)pool.machines[1];
  pool.machines[0]->fail("first");
  pool.machines[1]->fail("second");
  const auto request = pool.request();
  pool.machines[2]->get_ready();
  CHECK(pool.taken(*request) == 2);
  // With a machine that was taken the delay is over, and starts are no longer tried one by one.
  (void)pool.machines[4];
  CHECK(pool->counts().starting == 2);
}

TEST_CASE("one start of several fails, the others serve who waits") {
  Fixture pool({.ready = 1}, {.starting = 2});
  const auto request = pool.request();
  (void)pool.machines[1];
  pool.machines[0]->fail("unlucky");
  CHECK(!is_done(request));
  pool.machines[1]->get_ready();
  CHECK(pool.taken(*request) == 1);
}

TEST_CASE("an idle pool ends its machines, and the next take starts them again") {
  Fixture pool({.ready = 2, .idle = 1ms});
  const auto first = pool.machines[0];
  const auto second = pool.machines[1];
  first->wait_until_asked();
  second->wait_until_asked();
  first->die();
  second->fail("ended before it was ready");
  PoolCounts counts = pool->counts();
  CHECK(counts.ready + counts.starting + counts.ending == 0);
  CHECK(counts.died == 0);
  CHECK(counts.failed == 0);
  CHECK(pool.machines.tries() == 2);
  const auto request = pool.request();
  (void)pool.machines[4];  // as many as are kept, and one for the request
  pool.machines[2]->get_ready();
  CHECK(pool.taken(*request) == 2);
}

TEST_CASE("a pool is not idle while somebody waits") {
  Fixture pool({.ready = 1, .idle = 1ms});
  pool.machines[0]->wait_until_asked();
  const auto request = pool.request();
  const auto started = pool.machines[1];
  CHECK(error_of(pool->collect(*request, 20)).code == Code::kDeadline);
  CHECK(!started->end_was_asked());
  started->get_ready();
  CHECK(pool.taken(*request) == 1);
}

TEST_CASE("close fails who waits and ends what is ready or starting, and nothing else") {
  Fixture pool({.ready = 2});
  pool.machines[0]->get_ready();
  CHECK(pool.taken() == 0);
  const auto kept = pool.request();
  pool.machines[1]->get_ready();
  std::vector<Request> requests;
  for (size_t i = 0; i < 10; ++i) requests.push_back(pool.request());
  std::atomic<bool> told{false};
  std::thread waiter([&] {
    const auto outcome = pool->take(-1);
    told = !outcome && outcome.error().code == Code::kState;
  });
  pool.counts_when([](const PoolCounts& counts) { return counts.waiting == 11; });
  (void)pool.machines[5];
  pool->close();
  waiter.join();
  CHECK(told);
  for (const auto& request : requests) {
    const Error error = error_of(pool->collect(*request, 0));
    CHECK(error.code == Code::kState);
    CHECK(error.message.find("the pool was closed") == 0);
  }
  CHECK(error_of(pool->take(-1)).code == Code::kState);
  CHECK(!pool->request());
  CHECK(!pool.machines[0]->end_was_asked());
  CHECK(!pool.machines[1]->end_was_asked());
  for (size_t i = 2; i < 6; ++i) CHECK(pool.machines[i]->end_was_asked());
  // What was handed to a request is its own, also now.
  CHECK(pool.taken(*kept) == 1);
  CHECK(pool->counts().taken == 2);
  pool.machines[0]->die();
  pool.machines[2]->die();
  CHECK(pool->counts().taken == 1);
}

TEST_CASE("a request that outlives its pool ends the machine that nobody collected") {
  Fixture pool({.ready = 1});
  const auto request = pool.request();
  pool.machines[0]->get_ready();
  pool->close();
  CHECK(!pool.machines[0]->end_was_asked());
  pool->cancel(*request);
  CHECK(pool.machines[0]->end_was_asked());
}

TEST_CASE("close waits until the pool's machines are gone") {
  Fixture pool({.ready = 1});
  const auto machine = pool.machines[0];
  machine->disobey();
  machine->get_ready();
  std::atomic<bool> over{false};
  std::thread closer([&] {
    pool->close();
    over = true;
  });
  machine->wait_until_awaited();
  CHECK(machine->end_was_asked());
  CHECK(!over);
  machine->die();
  closer.join();
}

TEST_CASE("close may come from several threads at once") {
  Fixture pool({.ready = 3});
  pool.machines[0]->get_ready();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { pool->close(); });
  for (auto& thread : threads) thread.join();
  CHECK(pool->counts().ready == 0);
}
