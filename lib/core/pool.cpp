#include "core/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

#include "core/quiet_thread.h"

namespace vmette::core {
namespace {

Error closed_error() {
  return {Code::kState, "the pool was closed; make a new one", "pool"};
}

PoolPace settled(PoolPace pace) {
  if (pace.starting == 0) pace.starting = std::max(1U, std::thread::hardware_concurrency());
  return pace;
}

}  // namespace

std::chrono::milliseconds pool_delay(const PoolPace& pace, uint32_t failures) {
  auto delay = pace.first_delay;
  for (uint32_t i = 1; i < failures && delay < pace.longest_delay; ++i) delay *= 2;
  return std::min(delay, pace.longest_delay);
}

Pool::Pool(std::unique_ptr<PoolStarter> starter, PoolOptions options, PoolPace pace)
    : starter_(std::move(starter)), options_(options), pace_(settled(pace)) {}

Result<std::shared_ptr<Pool>> Pool::create(std::unique_ptr<PoolStarter> starter,
                                           PoolOptions options, PoolPace pace) {
  if (options.ready == 0)
    return Error(Code::kInvalidArgument,
                 "ready: 0 machines would make no pool; keep at least 1 ready", "pool");
  if (options.most != 0 && options.most < options.ready)
    return Error(Code::kInvalidArgument,
                 fmt::format("most: {} machines cannot be enough where {} are kept ready; raise it "
                             "or lower 'ready'",
                             options.most, options.ready),
                 "pool");
  std::shared_ptr<Pool> pool(new Pool(std::move(starter), options, pace));
  try {
    // It is joined by close(), before the pool can go.
    pool->thread_ = quiet_thread("vmette-pool", [raw = pool.get()] { raw->work(); });
  } catch (const std::system_error& error) {
    return Error(Code::kIo, std::string("the pool's thread could not be started: ") + error.what(),
                 "pool", error.code().value());
  }
  return pool;
}

// The pool's thread.

void Pool::work() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    const auto now = Clock::now();
    if (may_start(now)) {
      start_one(lock);
      continue;
    }
    if (idle_at() <= now) fall_asleep();
    const auto until = wake_at();
    if (until == Clock::time_point::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, until);
    }
  }
}

bool Pool::lacks_machines() const {
  const size_t wanted = queue_.size() + (asleep_ ? 0 : options_.ready);
  return in(Place::kReady) + in(Place::kStarting) < wanted &&
         (options_.most == 0 || entries_.size() < options_.most) &&
         in(Place::kStarting) < (probing_ ? 1 : pace_.starting);
}

bool Pool::may_start(Clock::time_point now) const {
  return lacks_machines() && (!queue_.empty() || next_try_ <= now);
}

Pool::Clock::time_point Pool::idle_at() const {
  const bool counts = options_.idle.count() != 0 && !asleep_ && queue_.empty();
  return counts ? last_use_ + options_.idle : Clock::time_point::max();
}

Pool::Clock::time_point Pool::wake_at() const {
  return std::min(idle_at(), lacks_machines() ? next_try_ : Clock::time_point::max());
}

void Pool::fall_asleep() {
  asleep_ = true;
  ready_.clear();
  for (auto& [id, entry] : entries_) {
    if (entry.place != Place::kReady && entry.place != Place::kStarting) continue;
    move(entry, Place::kEnding);
    entry.machine->end();
  }
}

void Pool::start_one(std::unique_lock<std::mutex>& lock) {
  const uint64_t id = next_id_++;
  entries_[id];
  ++places_[static_cast<size_t>(Place::kStarting)];
  ++started_;
  lock.unlock();
  const auto begun = begin(id);
  lock.lock();
  if (begun) return;
  erase(entries_.find(id));
  start_failed(begun.error());
}

Result<void> Pool::begin(uint64_t id) {
  Machine machine;
  try {
    auto made = starter_->start();
    if (!made) return made.error();
    machine = std::move(made.value());
    auto watch = watcher(id);
    {
      const std::lock_guard lock(mutex_);
      entries_.find(id)->second.machine = machine;
    }
    machine->watch(std::move(watch));
    return success();
  } catch (const std::exception& error) {
    if (machine) {
      machine->end();
      machine->wait_end();
    }
    return Error(Code::kInternal,
                 one_line(fmt::format("no machine for the pool: {}", error.what())), "pool");
  }
}

PoolMachine::Watcher Pool::watcher(uint64_t id) {
  const auto weak = weak_from_this();
  return {[weak, id](const Result<void>& outcome) {
            if (const auto pool = weak.lock()) pool->started(id, outcome);
          },
          [weak, id] {
            if (const auto pool = weak.lock()) pool->ended(id);
          }};
}

// What machines tell.

void Pool::started(uint64_t id, const Result<void>& outcome) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  const bool ours = found->second.place == Place::kStarting;  // else the pool has changed its mind
  if (outcome) {
    if (!ours) return;
    probing_ = false;
    offer(found);
  } else {
    erase(found);
    if (ours) start_failed(outcome.error());
  }
  changed_.notify_one();
}

void Pool::ended(uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  if (found->second.place == Place::kReady) {
    ready_.erase(std::find(ready_.begin(), ready_.end(), id));
    note_death(found->second);
  }
  erase(found);
  changed_.notify_one();
}

void Pool::move(Entry& entry, Place place) {
  --places_[static_cast<size_t>(entry.place)];
  ++places_[static_cast<size_t>(place)];
  entry.place = place;
}

void Pool::erase(Entries::iterator entry) {
  --places_[static_cast<size_t>(entry->second.place)];
  entries_.erase(entry);
}

// A machine that is ready goes to the first who waits, or to the others that are ready.
void Pool::offer(Entries::iterator entry) {
  Entry& it = entry->second;
  if (!queue_.empty()) {
    const auto first = queue_.begin();
    const auto request = first->second;
    queue_.erase(first);
    return serve(*request, {entry->first, give(it)});
  }
  if (closed_ || asleep_ || in(Place::kReady) >= options_.ready) {
    move(it, Place::kEnding);
    it.machine->end();
    return;
  }
  move(it, Place::kReady);
  ready_.push_back(entry->first);
}

Pool::Machine Pool::give(Entry& entry) {
  move(entry, Place::kTaken);
  troubles_ = 0;
  next_try_ = {};
  last_use_ = Clock::now();
  return std::exchange(entry.machine, nullptr);
}

void Pool::serve(PoolRequest& request, PoolRequest::Given given) {
  request.given_ = std::move(given);
  request.state_ = PoolRequest::State::kServed;
  request.done_.set();
}

void Pool::fail(PoolRequest& request, const Error& error) {
  request.error_ = error;
  request.state_ = PoolRequest::State::kFailed;
  request.done_.set();
}

void Pool::start_failed(const Error& error) {
  ++failed_;
  probing_ = true;
  note_trouble(error.message);
  if (in(Place::kStarting) != 0) return;  // that one may be luckier
  if (!queue_.empty()) last_use_ = Clock::now();
  for (const auto& [ticket, request] : std::exchange(queue_, {})) fail(*request, error);
}

void Pool::note_death(const Entry& entry) {
  ++died_;
  note_trouble("a ready machine ended: " + entry.machine->end_message());
}

void Pool::note_trouble(std::string what) {
  const auto now = Clock::now();
  if (now - last_trouble_ > pace_.forget) troubles_ = 0;
  ++troubles_;
  last_trouble_ = now;
  next_try_ = now + pool_delay(pace_, troubles_);
  last_error_ = std::move(what);
}

// What callers ask.

Result<void> Pool::note_take() {
  if (closed_) return closed_error();
  last_use_ = Clock::now();
  asleep_ = false;
  changed_.notify_one();
  return success();
}

std::optional<PoolRequest::Given> Pool::take_ready() {
  while (!ready_.empty()) {
    const uint64_t id = ready_.front();
    ready_.pop_front();
    Entry& entry = entries_.find(id)->second;
    if (entry.machine->usable()) return PoolRequest::Given{id, give(entry)};
    // Its news is on the way.
    note_death(entry);
    move(entry, Place::kEnding);
  }
  return std::nullopt;
}

Error Pool::late(int64_t timeout_ms) const {
  std::string message = fmt::format("no machine of the pool was free after {} ms; ", timeout_ms);
  const bool full = options_.most != 0 && entries_.size() >= options_.most;
  message += full ? fmt::format(
                        "of at most {}, {} are handed out: end some, raise 'most', or wait "
                        "longer",
                        options_.most, in(Place::kTaken))
                  : "wait longer, or keep more ready";
  if (troubles_ != 0) message += "; the last trouble: " + last_error_;
  return {Code::kDeadline, one_line(message), "pool"};
}

Result<Pool::Machine> Pool::take(int64_t timeout_ms) {
  std::shared_ptr<PoolRequest> request;
  {
    const std::lock_guard lock(mutex_);
    BOOST_OUTCOME_TRYV(note_take());
    if (auto given = take_ready()) return std::move(given->machine);
    if (timeout_ms == 0) return late(timeout_ms);
    auto queued = enqueue();
    if (!queued) return queued.error();
    request = std::move(queued.value());
  }
  (void)request->done().wait(timeout_ms);
  const std::lock_guard lock(mutex_);
  // A machine that came in the last instant is taken, not lost.
  auto outcome = collect_now(*request, timeout_ms);
  if (request->state_ == PoolRequest::State::kWaits) leave_queue(request->ticket_);
  return outcome;
}

Result<std::shared_ptr<PoolRequest>> Pool::request() {
  const std::lock_guard lock(mutex_);
  BOOST_OUTCOME_TRYV(note_take());
  auto request = enqueue();
  if (!request) return request;
  if (auto given = take_ready()) {
    queue_.erase(request.value()->ticket_);
    serve(*request.value(), std::move(*given));
  }
  return request;
}

Result<std::shared_ptr<PoolRequest>> Pool::enqueue() {
  auto request = std::make_shared<PoolRequest>();
  if (!request->done_.valid())
    return os_error("pool: no descriptor for a place in the queue", EMFILE, "pool");
  request->ticket_ = next_ticket_++;
  queue_.emplace(request->ticket_, request);
  return request;
}

void Pool::leave_queue(uint64_t ticket) {
  queue_.erase(ticket);
  last_use_ = Clock::now();
  changed_.notify_one();
}

Result<Pool::Machine> Pool::collect_now(PoolRequest& request, int64_t timeout_ms) {
  switch (request.state_) {
    case PoolRequest::State::kWaits:
      return late(timeout_ms);
    case PoolRequest::State::kFailed:
      return request.error_;
    case PoolRequest::State::kCollected:
      return Error(Code::kState, "the request has given its machine; make a new one for each",
                   "pool");
    case PoolRequest::State::kServed:
      break;
  }
  request.state_ = PoolRequest::State::kCollected;
  return std::exchange(request.given_.machine, nullptr);
}

Result<Pool::Machine> Pool::collect(PoolRequest& request, int64_t timeout_ms) {
  (void)request.done().wait(timeout_ms);
  const std::lock_guard lock(mutex_);
  return collect_now(request, timeout_ms);
}

void Pool::cancel(PoolRequest& request) {
  Machine machine;
  {
    const std::lock_guard lock(mutex_);
    if (request.state_ == PoolRequest::State::kWaits) {
      fail(request, Error(Code::kCancelled, "the request was given up", "pool"));
      return leave_queue(request.ticket_);
    }
    if (request.state_ != PoolRequest::State::kServed) return;
    request.state_ = PoolRequest::State::kCollected;
    machine = std::exchange(request.given_.machine, nullptr);
    if (!closed_) return give_back(request.given_.id, std::move(machine));
  }
  machine->end();
  machine->wait_end();
}

void Pool::give_back(uint64_t id, Machine machine) {
  const auto found = entries_.find(id);
  // One that has died meanwhile is gone, or about to tell.
  if (found == entries_.end() || !machine->usable()) return;
  found->second.machine = std::move(machine);
  offer(found);
  changed_.notify_one();
}

PoolCounts Pool::counts() const {
  const std::lock_guard lock(mutex_);
  return {in(Place::kReady), in(Place::kStarting),
          in(Place::kTaken), in(Place::kEnding),
          queue_.size(),     started_,
          failed_,           died_,
          last_error_};
}

void Pool::close() {
  const std::lock_guard closing(close_mutex_);
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (const auto& [ticket, request] : std::exchange(queue_, {})) fail(*request, closed_error());
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  Entries ours;
  {
    const std::lock_guard lock(mutex_);
    ready_.clear();
    for (auto next = entries_.begin(); next != entries_.end();) {
      const auto entry = next++;
      if (entry->second.place == Place::kTaken) continue;
      --places_[static_cast<size_t>(entry->second.place)];
      ours.insert(entries_.extract(entry));
    }
  }
  for (const auto& [id, entry] : ours) entry.machine->end();
  for (const auto& [id, entry] : ours) entry.machine->wait_end();
}

}  // namespace vmette::core
