#include "vmm/guest.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace vmette_test {
namespace {

namespace wire = vmette::wire;

constexpr int kDeadlineMs = 60'000;

void send_frame(int fd, wire::Type type, uint64_t stream, const std::string& payload) {
  std::string bytes;
  wire::append_frame(bytes, type, 0, stream, payload);
  for (std::string_view rest = bytes; !rest.empty();) {
    const ssize_t count = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (count <= 0) throw std::system_error(errno, std::generic_category(), "send");
    rest.remove_prefix(static_cast<size_t>(count));
  }
}

std::string text_of(const wire::Frame& frame) {
  return {reinterpret_cast<const char*>(frame.payload.data()), frame.payload.size()};
}

}  // namespace

std::string Guest::await(wire::Type type) {
  wire::Frame frame;
  while (true) {
    const auto status = decoder_.next(frame);
    if (status == wire::Decoder::Status::kBroken) throw std::runtime_error(decoder_.error());
    if (status == wire::Decoder::Status::kFrame) {
      if (frame.type == type) return text_of(frame);
      if (frame.type == wire::Type::kData) output_ += text_of(frame);
      if (frame.type == wire::Type::kError)
        throw std::runtime_error(
            wire::decode<wire::Failure>(frame.payload).value.value_or(wire::Failure()).message);
      continue;
    }
    pollfd entry{control_.get(), POLLIN, 0};
    if (poll(&entry, 1, kDeadlineMs) <= 0) throw std::runtime_error("the guest says nothing");
    const auto space = decoder_.space();
    const ssize_t count = recv(control_.get(), space.data(), space.size(), MSG_DONTWAIT);
    if (count <= 0) throw std::runtime_error("the control stream has ended");
    decoder_.fill(static_cast<size_t>(count));
  }
}

void Guest::set_up(wire::Setup setup) {
  setup.generation = wire::kGeneration;
  setup.hostname = "guest";
  setup.entropy = std::string(32, 'e');
  send_frame(control_.get(), wire::Type::kSetup, 0, wire::encode(setup));
  await(wire::Type::kReady);
}

std::string Guest::run(const std::string& line) {
  wire::Exec exec;
  exec.argv = {line};
  exec.shell = true;
  output_.clear();
  send_frame(control_.get(), wire::Type::kExec, ++last_stream_, wire::encode(exec));
  const std::string payload = await(wire::Type::kExit);
  const auto exit = wire::decode<wire::Exit>(std::as_bytes(std::span(payload))).value;
  if (!exit || exit->signalled || exit->status != 0)
    throw std::runtime_error("'" + line + "' failed: " + output_);
  return output_;
}

}  // namespace vmette_test
