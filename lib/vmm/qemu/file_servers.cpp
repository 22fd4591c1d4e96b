#include "vmm/qemu/file_servers.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "vmm/qemu/failure.h"
#include "vmm/qemu/parent_watch.h"
#include "vmm/qemu/private_mount.h"
#include "vmm/qemu/tool.h"

namespace vmette::vmm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kStartMs{5000};
constexpr milliseconds kVersionMs{2000};
constexpr milliseconds kEndMs{1000};
constexpr size_t kMaxErrorBytes = 4096;
constexpr int kListenFd = 3;  // of a server

// vhost-user: "which features do you have?", and the size of its answer.
constexpr std::array<uint32_t, 3> kFirstQuestion = {1, 1, 0};
constexpr size_t kFirstAnswerBytes = 20;

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe");
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// A listening socket and the one connection that it will ever have. Its name, which the kernel
// chooses, is in no file system, so that nothing can stay behind; anybody on this host could
// connect to it, but a queue of length 0 holds one connection, and then this one would fail.
std::pair<UniqueFd, UniqueFd> listen_and_connect() {
  UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address.sun_family;
  if (!listener || !client || bind(listener.get(), plain, length) != 0 ||
      listen(listener.get(), 0) != 0)
    throw_errno("socket");
  length = sizeof address;
  if (getsockname(listener.get(), plain, &length) != 0 || connect(client.get(), plain, length) != 0)
    throw_errno("connect");
  return {std::move(listener), std::move(client)};
}

// A directory to mount the share on, in the server's own view of the file system, that neither is
// nor holds the program.
const char* mount_place(const std::string& program) {
  for (const char* place : {"/mnt", "/tmp", "/run", "/home"}) {
    struct stat info{};
    if (lstat(place, &info) == 0 && S_ISDIR(info.st_mode) &&
        !program.starts_with(std::string(place) + "/"))
      return place;
  }
  return nullptr;
}

// The whole output of a program that prints its version; empty when it takes too long.
std::string version_output(const std::string& program) {
  ChildPlan plan;
  plan.argv = {program, "--version"};
  plan.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"};
  const ToolEnd end = run_tool(std::move(plan), kVersionMs);
  return end.in_time ? end.output : std::string();
}

// Throws Failure that says why there is no virtiofsd for a share.
Virtiofsd usable_virtiofsd(const Share& share) {
  const std::string program = find_virtiofsd();
  std::optional<Virtiofsd> found;
  try {
    found = parse_virtiofsd(program, version_output(program));
  } catch (const std::system_error& error) {
    throw Failure("not_found", error.what());
  }
  if (!found) throw Failure("not_found", fmt::format("{} is no virtiofsd that is known", program));
  if (geteuid() == 0) return *found;
  if (found->needs_root)
    throw Failure("not_found",
                  fmt::format("virtiofsd {} of QEMU runs as root only", found->version));
  if (share.read_only && !found->read_only_option)
    throw Failure("not_found",
                  fmt::format("virtiofsd {} cannot share read-only without root", found->version));
  return *found;
}

}  // namespace

FileServer::FileServer(const Virtiofsd& virtiofsd, const Share& share) : tag_(share.tag) {
  auto [listener, client] = listen_and_connect();
  auto [errors, errors_far] = make_pipe();
  ServedDirectory directory{share.path, false};
  ChildPlan plan;
  if (geteuid() == 0) {
    const char* place = mount_place(virtiofsd.program);
    if (place == nullptr) throw std::system_error(ENOENT, std::generic_category(), "/mnt");
    plan.before_exec = [&share, place] {
      return enter_private_mount(share.path, share.read_only, place);
    };
    directory = {place, true};
  }
  plan.argv = virtiofsd_argv(virtiofsd, share, directory, kListenFd);
  plan.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"};
  plan.out = errors_far.get();
  plan.fds = {listener.get()};
  child_.emplace(plan);
  socket_ = std::move(client);
  errors_ = std::move(errors);
  if (send(socket_.get(), kFirstQuestion.data(), sizeof kFirstQuestion, MSG_NOSIGNAL) !=
      sizeof kFirstQuestion)
    throw_errno("send");
}

bool FileServer::answered() {
  if (answered_ || !socket_) return answered_;
  std::array<char, kFirstAnswerBytes> answer{};
  // The whole of it, or it stays where it is.
  const ssize_t waiting =
      recv(socket_.get(), answer.data(), answer.size(), MSG_PEEK | MSG_DONTWAIT);
  if (waiting < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (waiting <= 0) {
    socket_.reset();
    return false;
  }
  if (static_cast<size_t>(waiting) < answer.size()) return false;
  recv(socket_.get(), answer.data(), answer.size(), 0);
  fcntl(socket_.get(), F_SETFL, fcntl(socket_.get(), F_GETFL) & ~O_NONBLOCK);
  answered_ = true;
  return true;
}

void FileServer::on_stderr() {
  std::array<char, 1024> bytes{};
  const ssize_t count = read(errors_.get(), bytes.data(), bytes.size());
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) errors_.reset();
  if (count > 0) error_text_.append(bytes.data(), static_cast<size_t>(count));
  if (error_text_.size() > kMaxErrorBytes)
    error_text_.erase(0, error_text_.size() - kMaxErrorBytes);
}

std::string FileServer::last_words() {
  for (size_t before = 0; errors_; before = error_text_.size()) {
    on_stderr();
    if (error_text_.size() == before) break;
  }
  return last_line(error_text_);
}

void FileServer::wait_end(milliseconds most) {
  socket_.reset();
  if (!child_->running()) return;
  const ParentWatch watch = watch_parent(child_->pid());
  pollfd item{watch.fd.get(), POLLIN, 0};
  if (watch.fd) poll(&item, 1, static_cast<int>(most.count()));
  child_->reap();
}

FileServers::FileServers(const std::vector<Share>& shares)
    : choices_(shares.size()), servers_(shares.size()) {
  for (const Share& share : shares) {
    insists_.push_back(share.transport == ShareTransport::kVirtiofs);
    start(share, insists_.size() - 1);
  }
  await_answers();
}

FileServers::~FileServers() {
  for (const auto& server : servers_)
    if (server) server->wait_end(kEndMs);
}

// Decides how a share reaches the guest: virtio-fs where its server starts, unless 9p is asked for.
void FileServers::start(const Share& share, size_t index) {
  if (share.transport == ShareTransport::k9p) return;
  try {
    servers_[index] = std::make_unique<FileServer>(usable_virtiofsd(share), share);
    choices_[index].transport = ShareTransport::kVirtiofs;
  } catch (const Failure& failure) {
    give_up(index, failure.what());
  } catch (const std::system_error& error) {
    give_up(index, fmt::format("virtiofsd: {}", error.what()));
  }
}

void FileServers::await_answers() {
  const auto end = Clock::now() + kStartMs;
  while (true) {
    std::vector<pollfd> polls;
    for (size_t i = 0; i < servers_.size(); ++i) {
      if (!servers_[i] || servers_[i]->answered()) continue;
      if (servers_[i]->socket_fd() >= 0) {
        polls.push_back({servers_[i]->socket_fd(), POLLIN, 0});
        continue;
      }
      servers_[i]->wait_end(kEndMs);
      const std::string words = servers_[i]->last_words();
      give_up(i, words.empty() ? "virtiofsd ended without a word" : "virtiofsd: " + words);
    }
    if (polls.empty()) return;
    const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
    if (left <= 0) break;
    poll(polls.data(), polls.size(), static_cast<int>(left));
  }
  for (size_t i = 0; i < servers_.size(); ++i)
    if (servers_[i] && !servers_[i]->answered())
      give_up(i, fmt::format("virtiofsd did not answer in {} ms", kStartMs.count()));
}

void FileServers::give_up(size_t index, const std::string& reason) {
  if (insists_[index])
    throw Failure(
        "virtiofs_unavailable",
        fmt::format("share transport: virtiofs does not work here: {}; use auto or 9p", reason));
  servers_[index].reset();
  choices_[index] = {ShareTransport::k9p, reason};
}

std::vector<UniqueFd> FileServers::take_sockets() {
  std::vector<UniqueFd> sockets;
  for (const auto& server : servers_)
    sockets.push_back(server ? server->take_socket() : UniqueFd());
  return sockets;
}

std::optional<FileServers::Loss> FileServers::check() {
  for (const auto& server : servers_) {
    if (!server || lost_) continue;
    const auto status = server->reap();
    if (!status) continue;
    lost_ = true;
    std::string text = fmt::format("the file server of share {} (virtiofsd) {}", server->tag(),
                                   describe_status(*status));
    if (const std::string words = server->last_words(); !words.empty()) text += ": " + words;
    return Loss{text, !WIFEXITED(*status) || WEXITSTATUS(*status) != 0};
  }
  return std::nullopt;
}

}  // namespace vmette::vmm
