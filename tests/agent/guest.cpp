#include "guest.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "support/catch.h"

namespace vmette_test {
namespace {

namespace wire = vmette::wire;
using vmette::vmm::Machine;
using wire::Type;

// No wait in a test is longer.
constexpr std::chrono::seconds kDeadline{120};

std::string initramfs() {
  const char* assets = std::getenv("VMETTE_ASSETS_DIR");  // NOLINT(concurrency-mt-unsafe)
  REQUIRE(assets != nullptr);
  const bool x86 = vmette::vmm::host_arch() == vmette::vmm::Arch::kX86_64;
  return std::string(assets) + (x86 ? "/x86_64" : "/aarch64") + "/initramfs.cpio";
}

template <class T>
T decoded(const wire::Frame& frame) {
  auto message = wire::decode<T>(frame.payload);
  INFO(message.error);
  REQUIRE(message.value);
  return std::move(*message.value);
}

}  // namespace

Guest::Guest(const Change& change) {
  machine_ = bare_machine();
  machine_.initramfs = initramfs();
  machine_.memory_mib = 256;
  wire::Setup setup;
  setup.generation = wire::kGeneration;
  setup.hostname = "origin";
  setup.entropy = std::string(64, 'e');
  setup.env = {{"ORIGIN", "yes"}};
  if (change) change(machine_, setup);
  start();
  until([&] { return hellos_ == 1; });
  send(Type::kSetup, encode(setup));
  until([&] { return ready_ || streams_[0].failed; });
  INFO(streams_[0].failure.message);
  REQUIRE(ready_);
}

Guest::Guest(const Guest& origin, const std::string& directory,
             const std::function<void(Machine&)>& change) {
  machine_ = origin.machine_;
  machine_.cmdline = origin.cmdline_;
  machine_.snapshottable = false;
  machine_.restore = directory;
  if (change) change(machine_);
  start();
}

void Guest::start() {
  const auto created = helper_.call("create", to_json(machine_));
  INFO(created.dump());
  REQUIRE(created.contains("ok"));
  cmdline_ = created["ok"]["cmdline"];
  control_ = helper_.take_fd();
  const auto started = helper_.call("start");
  INFO(started.dump());
  REQUIRE(started.contains("ok"));
}

void Guest::add_share(Machine& machine, wire::Setup& setup, const std::string& tag,
                      const std::string& path, const std::string& target) {
  machine.shares.push_back({tag, path, false, vmette::vmm::ShareTransport::k9p});
  setup.shares.push_back({tag, false, target, false});
}

void Guest::send(Type type, std::string_view payload, uint64_t stream, uint16_t flags) {
  if (type == Type::kShutdown) quiet_ = false;
  std::string bytes;
  wire::append_frame(bytes, type, flags, stream, payload);
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t sent = ::send(control_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;  // the machine has ended
    left.remove_prefix(static_cast<size_t>(sent));
  }
}

uint64_t Guest::begin(wire::Exec request) {
  send(Type::kExec, encode(request), ++last_stream_);
  return last_stream_;
}

uint64_t Guest::begin(const std::string& line) {
  wire::Exec request;
  request.argv = {line};
  request.shell = true;
  request.in = wire::Stdio::kStream;
  return begin(std::move(request));
}

uint64_t Guest::call(const wire::Call& request) {
  send(Type::kCall, encode(request), ++last_stream_);
  return last_stream_;
}

std::string Guest::run(const std::string& line) {
  const uint64_t id = begin(line);
  GuestStream& stream = streams_[id];
  INFO(line);
  until([&] { return stream.failed || (stream.exited && stream.out_over && stream.err_over); });
  INFO(stream.out << stream.failure.message);
  REQUIRE(stream.exited);
  REQUIRE(stream.exit.status == 0);
  std::string out = stream.out;
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

void Guest::until_true(const std::string& line) {
  run("until " + line + "; do usleep 1000; done");
}

void Guest::restart_streams() {
  streams_.clear();
  last_stream_ = 0;
}

void Guest::until(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!holds()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd item{control_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&item, 1, static_cast<int>(left.count())) <= 0)
      FAIL("the guest says nothing");
    if (!receive()) FAIL("the guest is gone; its console:\n" << helper_.console());
  }
}

bool Guest::receive() {
  const auto room = decoder_.space();
  const ssize_t got = read(control_.get(), room.data(), room.size());
  if (got < 0 && errno == EINTR) return true;
  closed_ = got <= 0;
  if (closed_) return false;
  decoder_.fill(static_cast<size_t>(got));
  wire::Frame frame;
  auto status = decoder_.next(frame);
  for (; status == wire::Decoder::Status::kFrame; status = decoder_.next(frame)) take(frame);
  INFO(decoder_.error());
  REQUIRE(status == wire::Decoder::Status::kMore);
  return true;
}

void Guest::take(const wire::Frame& frame) {
  log_.push_back(frame.type);
  if (quiet_) {
    INFO(wire::type_name(static_cast<uint16_t>(frame.type)) << " between QUIESCED and HELLO");
    REQUIRE((frame.type == Type::kHello || frame.type == Type::kError));
    quiet_ = false;
  }
  // Nothing is said about a stream of an old connection.
  REQUIRE(frame.stream <= last_stream_);
  GuestStream& stream = streams_[frame.stream];
  if (frame.type == Type::kHello) {
    hello_ = decoded<wire::Hello>(frame);
    ++hellos_;
  } else if (frame.type == Type::kReady) {
    ready_ = true;
  } else if (frame.type == Type::kQuiesced) {
    quiesced_ = decoded<wire::Quiesced>(frame);
    quiet_ = true;
  } else if (frame.type == Type::kError) {
    stream.failure = decoded<wire::Failure>(frame);
    stream.failed = true;
  } else if (frame.type == Type::kStarted) {
    stream.started = true;
  } else if (frame.type == Type::kExit) {
    stream.exit = decoded<wire::Exit>(frame);
    stream.exited = true;
  } else if (frame.type == Type::kResult) {
    stream.result.assign(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size());
  } else if (frame.type == Type::kData) {
    take_data(stream, frame);
  }
}

void Guest::take_data(GuestStream& stream, const wire::Frame& frame) {
  stream.out.append(reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size());
  if (frame.eof()) (frame.channel() == 1 ? stream.out_over : stream.err_over) = true;
}

bool Guest::quiesce(uint32_t timeout_ms) {
  streams_[0] = {};
  send(Type::kQuiesce, encode(wire::Quiesce{timeout_ms}));
  until([&] { return quiet_ || streams_[0].failed; });
  CHECK(decoder_.pending() == 0);
  return quiet_;
}

bool Guest::wake(wire::Wake wake) {
  streams_[0] = {};
  const size_t before = hellos_;
  wake.nonce = "nonce " + std::to_string(++wakes_);
  if (wake.entropy.empty()) wake.entropy = std::string(64, 'w');
  send(Type::kWake, encode(wake));
  if (wake.restored) restart_streams();
  until([&] { return hellos_ > before || streams_[0].failed; });
  if (hellos_ == before) return false;
  CHECK(hello_.nonce == wake.nonce);
  return true;
}

std::string Guest::stopped() {
  return helper_.wait_for("stopped")["reason"];
}

}  // namespace vmette_test
