#include "peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace vmette_test {

using nlohmann::json;
using vmette::UniqueFd;
using vmette::wire::Channel;
using vmette::wire::Type;

void FakeGuest::raw(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::send(stream_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) throw HostGone();
    bytes.remove_prefix(static_cast<size_t>(put));
  }
}

void FakeGuest::header(uint32_t length, uint16_t type, uint16_t flags, uint64_t stream) {
  std::byte head[vmette::wire::kHeaderBytes];
  vmette::wire::put_header(head, length, static_cast<Type>(type), flags, stream);
  raw({reinterpret_cast<const char*>(head), sizeof head});
}

void FakeGuest::frame(Type type, uint64_t stream, std::string_view payload, uint16_t flags) {
  std::string bytes;
  vmette::wire::append_frame(bytes, type, flags, stream, payload);
  raw(bytes);
}

void FakeGuest::data(uint64_t stream, std::string_view payload, Channel channel, bool eof) {
  frame(Type::kData, stream, payload, vmette::wire::channel_flags(channel, eof));
}

void FakeGuest::credit(uint64_t stream, uint32_t bytes, Channel channel) {
  frame(Type::kCredit, stream, vmette::wire::encode_credit(bytes),
        vmette::wire::channel_flags(channel));
}

uint64_t FakeGuest::await(Type type) {
  return await_frame(type).stream;
}

std::string FakeGuest::await_payload(Type type) {
  const auto payload = await_frame(type).payload;
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}

vmette::wire::Frame FakeGuest::await_frame(Type type) {
  vmette::wire::Frame frame;
  for (;;) {
    while (decoder_.next(frame) == vmette::wire::Decoder::Status::kFrame)
      if (frame.type == type) return frame;
    const auto room = decoder_.space();
    const ssize_t got = ::read(stream_.get(), room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw HostGone();
    decoder_.fill(static_cast<size_t>(got));
  }
}

void FakeGuest::hello(const std::string& nonce) {
  vmette::wire::Hello hello;
  hello.generation = vmette::wire::kGeneration;
  hello.oldest_generation = vmette::wire::kOldestGeneration;
  hello.nonce = nonce;
  frame(Type::kHello, 0, encode(hello));
}

void FakeGuest::boot() {
  hello();
  await(Type::kSetup);
  frame(Type::kReady, 0, encode(vmette::wire::Ready{}));
}

uint64_t FakeGuest::start_command() {
  const uint64_t stream = await(Type::kExec);
  frame(Type::kStarted, stream, encode(vmette::wire::Started{100, 1000}));
  return stream;
}

void FakeGuest::exit(uint64_t stream, const vmette::wire::Exit& exit) {
  frame(Type::kExit, stream, encode(exit));
}

FakeHelper::FakeHelper(UniqueFd socket) : channel_(std::move(socket)) {
  create_ = request();
}

json FakeHelper::request() {
  using Status = vmette::vmm::LineChannel::Status;
  std::string line;
  for (;;) {
    const Status status = channel_.receive(line);
    if (status == Status::kLine) return json::parse(line);
    if (status != Status::kMore) throw HostGone();
    pollfd item{channel_.fd(), POLLIN, 0};
    ::poll(&item, 1, -1);
  }
}

void FakeHelper::line(std::string_view text) {
  bool alive = channel_.send(text);
  while (alive && channel_.wants_write()) {
    pollfd item{channel_.fd(), POLLOUT, 0};
    ::poll(&item, 1, -1);
    alive = channel_.flush();
  }
  if (!alive) throw HostGone();
}

void FakeHelper::ok(const json& request, json fields) {
  line(json{{"id", request.at("id")}, {"ok", std::move(fields)}}.dump());
}

FakeGuest FakeHelper::channel() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw HostGone();
  std::vector<UniqueFd> fds;
  fds.emplace_back(ends[0]);
  FakeGuest guest{UniqueFd(ends[1])};
  channel_.send(R"({"event":"channel"})", std::move(fds));
  return guest;
}

FakeGuest FakeHelper::bring_up() {
  FakeGuest guest = channel();
  ok(create_, {{"cmdline", "fake"}, {"accel", "tcg"}, {"accel_reason", ""}, {"pid", ::getpid()}});
  ok(request());
  return guest;
}

FakeGuest FakeHelper::bring_up_to_save() {
  FakeGuest guest = channel();
  const json identity = {{"hypervisor", "fake"}, {"version", "1"}, {"machine", "none"},
                         {"accel", "tcg"},       {"arch", ""},     {"cpu", ""},
                         {"tsc_khz", 0}};
  ok(create_, {{"cmdline", "fake"}, {"accel", "tcg"}, {"identity", identity}});
  ok(request());
  return guest;
}

void FakeHelper::serve() {
  for (;;) ok(request());
}

}  // namespace vmette_test

// The script runs beside the answers to the library's requests, as a guest does.
int main() {
  using namespace vmette_test;
  try {
    FakeHelper helper{vmette::UniqueFd(3)};
    const std::string name = helper.create().at("cmdline");
    for (const auto* scripts : {&helper_scripts(), &save_scripts()}) {
      const auto own = scripts->find(name);
      if (own == scripts->end()) continue;
      own->second(helper);
      return 0;
    }
    for (const auto* scripts : {&guest_scripts(), &command_scripts(), &call_scripts()}) {
      const auto found = scripts->find(name);
      if (found == scripts->end()) continue;
      FakeGuest guest = helper.bring_up();
      std::thread([&] {
        try {
          found->second(guest);
        } catch (const HostGone&) {
        }
      }).detach();
      helper.serve();
    }
  } catch (const HostGone&) {
  }
  // Not exit(): the script may still be running.
  _exit(0);
}
