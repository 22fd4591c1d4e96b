// The helper protocol: bytes and descriptors of a peer through LineChannel, compared with what a
// plain split at newlines gives; through the library's client; and `create` messages through the
// helper's reader of machines.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/vmm_client.h"
#include "script.h"
#include "vmm/line_channel.h"
#include "vmm/machine.h"

using nlohmann::json;
using vmette::UniqueFd;
using vmette::core::HelperProcess;
using vmette::core::VmmClient;
using vmette::vmm::LineChannel;
using vmette_fuzz::require;
using vmette_fuzz::Script;

namespace {

struct Pair {
  UniqueFd ours;
  UniqueFd peer;

  Pair() {
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0,
            "there is a socket");
    ours.reset(ends[0]);
    peer.reset(ends[1]);
  }
};

// Sends bytes with as many descriptors. What the socket does not take is lost, as with a peer that
// gives up; the number of bytes that went is returned.
size_t send_with(int socket, std::string_view bytes, size_t descriptors) {
  static const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  constexpr size_t kMost = 20;
  union {
    cmsghdr header;
    char space[CMSG_SPACE(kMost * sizeof(int))];
  } control{};
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  descriptors = std::min(descriptors, kMost);
  if (descriptors > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
    const int fd = null.get();
    for (size_t i = 0; i < descriptors; ++i)
      std::memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof fd);
  }
  const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent > 0 ? static_cast<size_t>(sent) : 0;
}

// The lines of `text` as the channel is to cut them.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (size_t end = 0; (end = text.find('\n')) != std::string_view::npos;) {
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(end + 1);
  }
  return lines;
}

void channel(Script script) {
  Pair pair;
  LineChannel channel(std::move(pair.ours), 2);
  std::string sent;
  std::vector<std::string> received;
  std::string line;
  size_t descriptors = 0;
  const auto receive_all = [&] {
    auto status = channel.receive(line);
    for (; status == LineChannel::Status::kLine; status = channel.receive(line))
      received.push_back(line);
    return status;
  };
  while (!script.over()) {
    const size_t count = script.u8() % 32;
    const std::string_view piece = script.bytes();
    sent.append(piece.substr(0, send_with(pair.peer.get(), piece, count)));
    require(receive_all() == LineChannel::Status::kMore, "an open channel waits for more");
    if ((count & 1) != 0 && channel.take_fd()) ++descriptors;
  }
  pair.peer.reset();
  require(receive_all() == LineChannel::Status::kClosed, "a closed peer is seen");
  require(received == lines_of(sent), "every whole line arrives once, in order");
  while (channel.take_fd()) require(++descriptors < 256, "descriptors come to an end");
}

// The library's client with a scripted helper. Its process is the write end of a pipe: closed, the
// "process" has ended.
void client(Script script) {
  boost::asio::io_context io;
  Pair pair;
  int process[2];
  require(pipe2(process, O_CLOEXEC) == 0, "there is a pipe");
  UniqueFd alive(process[1]);
  HelperProcess helper;
  helper.pidfd.reset(process[0]);
  helper.socket = std::move(pair.ours);
  int gone = 0;
  int answers = 0;
  int requests = 0;
  bool ended = false;
  std::shared_ptr<VmmClient> client;
  const auto quiet = [&] { require(!ended, "nothing but `gone` is called after the end"); };
  const auto end = [&] {
    ended = true;
    client->end();
  };
  client = std::make_shared<VmmClient>(
      io, std::move(helper),
      VmmClient::Callbacks{
          [&](const UniqueFd& fd) {
            quiet();
            require(fd.valid(), "a channel has its descriptor");
          },
          [&](const std::string&) { quiet(); },
          [&](const VmmClient::DiskError& error) {
            quiet();
            require(error.reason.find('\n') == std::string::npos, "a reason is one line");
          },
          [&] { quiet(); }, [&](const VmmClient::Stopped&) { quiet(); },
          [&](const vmette::core::Error& error) {
            quiet();
            require(error.message.find('\n') == std::string::npos, "an error is one line");
            end();
          },
          [&](const std::string&) { ++gone; }});
  client->start();
  while (!script.over()) {
    const uint8_t step = script.u8();
    if ((step & 7) == 0) {
      ++requests;
      client->request("pause", json::object(), [&](const auto&) {
        quiet();
        ++answers;
      });
    } else {
      const std::string_view piece = script.bytes();
      send_with(pair.peer.get(), piece, step >> 5);
    }
    io.restart();
    io.poll();
  }
  if (!ended) end();
  alive.reset();
  io.restart();
  io.run();
  require(gone == 1, "the helper is gone once");
  require(answers <= requests, "a request is answered at most once");
}

void machine(std::string_view text) {
  const json fields = json::parse(text, nullptr, false);
  if (!fields.is_object()) return;
  vmette::vmm::Machine first;
  if (vmette::vmm::from_json(fields, first)) return;
  require(!vmette::vmm::validate(first), "a machine that was read is valid");
  vmette::vmm::Machine second;
  require(!vmette::vmm::from_json(vmette::vmm::to_json(first), second), "its own form is read");
  require(first == second, "a machine survives its own form");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script script(data, size);
  switch (script.u8() % 3) {
    case 0:
      channel(script);
      break;
    case 1:
      client(script);
      break;
    default:
      machine({reinterpret_cast<const char*>(data) + (size > 0 ? 1 : 0), size > 0 ? size - 1 : 0});
  }
  return 0;
}
