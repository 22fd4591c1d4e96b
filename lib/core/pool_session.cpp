#include "core/pool_session.h"

#include <fcntl.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <utility>

#include "core/config_check.h"
#include "core/rootfs/root_path.h"
#include "core/session.h"

namespace vmette::core {
namespace {

using boost::asio::posix::stream_descriptor;

// Waits on the reactor for a session's two events. Has descriptors of its own and keeps no session
// alive, so that it can outlast the pool.
struct Watch {
  explicit Watch(boost::asio::io_context& io) : ready(io), end(io) {}

  stream_descriptor ready;
  stream_descriptor end;
  PoolMachine::Watcher watcher;
};

Result<void> watch_copy(stream_descriptor& watch, const Event& event) {
  UniqueFd copy(fcntl(event.fd(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return os_error("pool: no descriptor to watch a machine", errno, "pool");
  boost::system::error_code error;
  (void)watch.assign(copy.get(), error);
  if (error) return os_error("pool: a machine cannot be watched", error.value(), "pool");
  (void)copy.release();
  return success();
}

void await_end(const std::shared_ptr<Watch>& watch) {
  watch->end.async_wait(stream_descriptor::wait_read,
                        [watch](const boost::system::error_code& error) {
                          if (!error) watch->watcher.ended();
                        });
}

void await_ready(const std::shared_ptr<Watch>& watch, const std::shared_ptr<Session>& session) {
  watch->ready.async_wait(stream_descriptor::wait_read,
                          [watch, session](const boost::system::error_code& error) {
                            if (error) return;
                            watch->ready.close();
                            const auto ready = session->wait_ready(0);
                            watch->watcher.started(ready);
                            if (ready) await_end(watch);
                          });
}

class SessionMachine : public PoolMachine {
 public:
  static Result<std::shared_ptr<PoolMachine>> launch(std::shared_ptr<Session> session) {
    auto watch = std::make_shared<Watch>(session->reactor().io());
    BOOST_OUTCOME_TRYV(watch_copy(watch->ready, session->ready_event()));
    BOOST_OUTCOME_TRYV(watch_copy(watch->end, session->end_event()));
    auto machine = std::make_shared<SessionMachine>(std::move(session), std::move(watch));
    BOOST_OUTCOME_TRYV(machine->session_->launch());
    return std::shared_ptr<PoolMachine>(machine);
  }

  SessionMachine(std::shared_ptr<Session> session, std::shared_ptr<Watch> watch)
      : session_(std::move(session)), watch_(std::move(watch)) {}

  void watch(Watcher watcher) override {
    watch_->watcher = std::move(watcher);
    session_->reactor().post([watch = watch_, session = session_] { await_ready(watch, session); });
  }
  [[nodiscard]] bool usable() const override { return session_->state() == State::kReady; }
  void end() override { session_->request_kill(); }
  void wait_end() override { (void)session_->wait(-1); }
  [[nodiscard]] std::string end_message() const override { return session_->end().message; }
  [[nodiscard]] std::shared_ptr<Session> session() const override { return session_; }

 private:
  const std::shared_ptr<Session> session_;
  const std::shared_ptr<Watch> watch_;
};

class SessionStarter : public PoolStarter {
 public:
  SessionStarter(Reactor& reactor, Config config, std::shared_ptr<Session> first)
      : reactor_(reactor), config_(std::move(config)), first_(std::move(first)) {}

  Result<std::shared_ptr<PoolMachine>> start() override {
    auto session = Session::create(reactor_, config_);
    if (!session) return session.error();
    return SessionMachine::launch(std::move(session.value()));
  }

 private:
  Reactor& reactor_;
  const Config config_;
  const std::shared_ptr<Session> first_;  // never started; keeps what was fetched for it
};

// The working folder may be another one when machines are started later.
void settle_for_later(Config& config) {
  for (std::string* path : {&config.kernel, &config.initramfs, &config.assets, &config.helper,
                            &config.cache_dir, &config.resume_snapshot})
    if (!path->empty()) *path = absolute_path(*path);
  if (config.ca_certs && !config.ca_certs->empty())
    config.ca_certs = absolute_path(*config.ca_certs);
  settle_paths(config);
}

Result<void> check(const Config& config) {
  if (config.exec)
    return wrong(
        "exec: a pool's machines wait for commands; leave it out and run the command in "
        "the session that you take");
  if (!config.build_snapshot.empty())
    return wrong(
        "build_snapshot: '{}' cannot be built by a pool; build it first, and set it as "
        "resume_snapshot",
        config.build_snapshot);
  if (config.timeout_seconds != 0)
    return wrong(
        "timeout_seconds: {} s would pass while a machine waits in the pool; leave it out "
        "and give each command a timeout",
        config.timeout_seconds);
  return success();
}

}  // namespace

Result<std::unique_ptr<PoolStarter>> session_starter(Reactor& reactor, const Config& config) {
  BOOST_OUTCOME_TRYV(check(config));
  Config wanted = config;
  wanted.snapshottable = true;
  auto first = Session::create(reactor, wanted);
  if (!first) return first.error();
  // What the session made of the configuration serves all the machines to come, so that roots are
  // fetched once. A snapshot adds its own to it each time.
  const bool boots = config.resume_snapshot.empty();
  Config settled = boots ? first.value()->config() : wanted;
  settled.providers.clear();
  settled.progress = nullptr;
  settle_for_later(settled);
  return std::unique_ptr<PoolStarter>(
      std::make_unique<SessionStarter>(reactor, std::move(settled), std::move(first.value())));
}

}  // namespace vmette::core
