#include "vmm/line_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace vmette::vmm {
namespace {

constexpr size_t kReadBytes = size_t{64} * 1024;
// The most descriptors that one message of ours carries, or that one read accepts.
constexpr size_t kMaxFdsPerMessage = 16;

#ifdef MSG_NOSIGNAL
constexpr int kSendFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
#else
constexpr int kSendFlags = MSG_DONTWAIT;
#endif
#ifdef MSG_CMSG_CLOEXEC
constexpr int kReceiveFlags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
#else
constexpr int kReceiveFlags = MSG_DONTWAIT;
#endif

union ControlBuffer {
  cmsghdr header;
  std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> space;
};

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

}  // namespace

LineChannel::LineChannel(UniqueFd socket, size_t max_fds)
    : socket_(std::move(socket)), max_fds_(max_fds) {
#ifdef SO_NOSIGPIPE
  const int on = 1;
  setsockopt(socket_.get(), SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

LineChannel::Status LineChannel::broken(std::string why) {
  broken_ = true;
  error_ = std::move(why);
  received_fds_.clear();
  return Status::kBroken;
}

bool LineChannel::cut_line(std::string& line) {
  const size_t newline = buffer_.find('\n', std::max(scanned_, begin_));
  if (newline == std::string::npos) {
    scanned_ = buffer_.size();
    return false;
  }
  line.assign(buffer_, begin_, newline - begin_);
  begin_ = newline + 1;
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    if (buffer_.capacity() > 2 * kReadBytes) buffer_.shrink_to_fit();
    begin_ = 0;
  }
  scanned_ = begin_;
  return true;
}

LineChannel::Status LineChannel::receive(std::string& line) {
  if (broken_) return Status::kBroken;
  while (true) {
    if (cut_line(line)) {
      if (line.size() > kMaxLineBytes) return broken("a line is longer than 1 MiB");
      if (!line.empty() && line.back() == '\r') line.pop_back();
      return Status::kLine;
    }
    if (buffer_.size() - begin_ > kMaxLineBytes) return broken("a line is longer than 1 MiB");
    const Status status = read_some();
    if (status != Status::kLine) return status;
  }
}

// kLine here means that bytes arrived.
LineChannel::Status LineChannel::read_some() {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;

  const size_t old_size = buffer_.size();
  buffer_.resize(old_size + kReadBytes);
  iovec part{buffer_.data() + old_size, kReadBytes};
  ControlBuffer control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = max_fds_ > 0 ? &control : nullptr;
  message.msg_controllen = max_fds_ > 0 ? sizeof control : 0;

  ssize_t count = 0;
  do {
    count = recvmsg(socket_.get(), &message, kReceiveFlags);
  } while (count < 0 && errno == EINTR);
  const int error = errno;
  buffer_.resize(old_size + static_cast<size_t>(std::max<ssize_t>(count, 0)));

  if (count > 0) {
    keep_fds(message);
    return Status::kLine;
  }
  if (count == 0 || error == ECONNRESET) return Status::kClosed;
  if (would_block(error)) return Status::kMore;
  return broken("cannot read from the socket: " + std::generic_category().message(error));
}

void LineChannel::keep_fds(msghdr& message) {
  if (message.msg_control == nullptr) return;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int raw = -1;
      std::memcpy(&raw, CMSG_DATA(part) + i * sizeof(int), sizeof raw);
      UniqueFd fd(raw);
#ifndef MSG_CMSG_CLOEXEC
      fcntl(raw, F_SETFD, FD_CLOEXEC);
#endif
      if (received_fds_.size() < max_fds_) received_fds_.push_back(std::move(fd));
    }
  }
}

UniqueFd LineChannel::take_fd() {
  if (received_fds_.empty()) return {};
  UniqueFd fd = std::move(received_fds_.front());
  received_fds_.pop_front();
  return fd;
}

bool LineChannel::send(std::string_view line, std::vector<UniqueFd> fds) {
  if (peer_gone_) return false;
  // Only bytes that nobody's descriptors belong to may be joined.
  const bool join = fds.empty() && !queue_.empty() && queue_.back().fds.empty();
  if (!join) queue_.push_back({{}, std::move(fds)});
  std::string& bytes = queue_.back().bytes;
  bytes.append(line);
  bytes.push_back('\n');
  queued_bytes_ += line.size() + 1;
  return flush();
}

bool LineChannel::flush() {
  while (!peer_gone_ && !queue_.empty()) {
    Outgoing& next = queue_.front();
    iovec part{next.bytes.data() + sent_, next.bytes.size() - sent_};
    ControlBuffer control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!next.fds.empty()) {
      const size_t bytes = std::min(next.fds.size(), kMaxFdsPerMessage) * sizeof(int);
      message.msg_control = &control;
      message.msg_controllen = CMSG_SPACE(bytes);
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(bytes);
      for (size_t i = 0; i * sizeof(int) < bytes; ++i) {
        const int raw = next.fds[i].get();
        std::memcpy(CMSG_DATA(header) + i * sizeof(int), &raw, sizeof raw);
      }
    }
    const ssize_t count = sendmsg(socket_.get(), &message, kSendFlags);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (would_block(errno)) return true;
      peer_gone_ = true;
      break;
    }
    next.fds.clear();
    sent_ += static_cast<size_t>(count);
    queued_bytes_ -= static_cast<size_t>(count);
    if (sent_ == next.bytes.size()) {
      queue_.pop_front();
      sent_ = 0;
    }
  }
  if (!peer_gone_) return true;
  queue_.clear();
  queued_bytes_ = 0;
  sent_ = 0;
  return false;
}

}  // namespace vmette::vmm
