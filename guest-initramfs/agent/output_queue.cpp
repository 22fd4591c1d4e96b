#include "output_queue.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace vmette::agent {
namespace {

// A frame is not started in a rest of a batch smaller than this.
constexpr size_t kSmallestRoom = 4096;
// For a frame's header and 31 pages. The payload has 17 at most, unless a command fills its pipe
// with small pieces.
constexpr int kPipeBytes = 128 * 1024;
constexpr size_t kMostMoved = wire::kHeaderBytes + wire::kMaxDataBytes;

}  // namespace

// A frame that cannot be moved after all has to fit as well.
OutputQueue::OutputQueue() : batch_(new std::byte[std::max(kBatchBytes, kMostMoved)]) {}

void OutputQueue::push(wire::Type type, uint16_t flags, uint64_t stream, std::string_view payload) {
  wire::append_frame(messages_, type, flags, stream, payload);
}

void OutputQueue::offer(Source& source) {
  if (source.queued_) return;
  source.queued_ = true;
  round_.push_back(&source);
}

void OutputQueue::withdraw(Source& source) {
  if (!source.queued_) return;
  source.queued_ = false;
  round_.erase(std::find(round_.begin(), round_.end(), &source));
}

void OutputQueue::allow_moving() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  pipe_out_.reset(ends[0]);
  pipe_in_.reset(ends[1]);
  if (fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes) < kPipeBytes) stop_moving();
}

void OutputQueue::stop_moving() {
  copy_back();
  pipe_out_.reset();
  pipe_in_.reset();
}

OutputQueue::Front OutputQueue::front() {
  if (begin_ == end_) fill();
  const size_t size = end_ - begin_;
  if (where_ == Where::kPipe) return {nullptr, pipe_out_.get(), size};
  const auto* base =
      where_ == Where::kLarge ? reinterpret_cast<const std::byte*>(large_.data()) : batch_.get();
  return {base + begin_, -1, size};
}

void OutputQueue::fill() {
  begin_ = end_ = 0;
  where_ = Where::kBatch;
  if (messages_.size() > kBatchBytes) {
    where_ = Where::kLarge;
    large_ = std::move(messages_);
    messages_.clear();
    end_ = large_.size();
    return;
  }
  if (large_.capacity() > kBatchBytes) std::string().swap(large_);
  if (messages_.empty() && move_frame()) return;
  std::memcpy(batch_.get(), messages_.data(), messages_.size());
  end_ = messages_.size();
  messages_.clear();
  while (!round_.empty() && kBatchBytes - end_ >= wire::kHeaderBytes + kSmallestRoom) pull_frame();
}

Source& OutputQueue::next_source() {
  Source& source = *round_.front();
  round_.pop_front();
  source.queued_ = false;
  return source;
}

void OutputQueue::pull_frame() {
  Source& source = next_source();
  const size_t room =
      std::min<size_t>(kBatchBytes - end_ - wire::kHeaderBytes, wire::kMaxDataBytes);
  std::byte* head = batch_.get() + end_;
  const uint64_t stream = source.stream();
  const Source::Pulled pulled = source.pull({head + wire::kHeaderBytes, room});
  if (pulled.more) offer(source);
  if (pulled.send) {
    wire::put_header(head, static_cast<uint32_t>(pulled.bytes), wire::Type::kData, pulled.flags,
                     stream);
    end_ += wire::kHeaderBytes + pulled.bytes;
  }
}

// False when the batch is still empty.
bool OutputQueue::move_frame() {
  if (!pipe_in_ || round_.empty()) return false;
  const Source::Movable movable = round_.front()->movable();
  const size_t size = std::min<size_t>(movable.bytes, wire::kMaxDataBytes);
  if (size < kLeastMoved) return false;
  Source& source = next_source();
  const uint64_t stream = source.stream();
  std::byte header[wire::kHeaderBytes];
  const auto put_size = [&](std::byte* out, size_t bytes) {
    wire::put_header(out, static_cast<uint32_t>(bytes), wire::Type::kData, movable.flags, stream);
  };
  put_size(header, size);
  if (write(pipe_in_.get(), header, sizeof header) != static_cast<ssize_t>(sizeof header)) {
    stop_moving();
    offer(source);
    return false;
  }
  const Source::Pulled pulled = source.move(pipe_in_.get(), size);
  if (pulled.more) offer(source);
  where_ = Where::kPipe;
  end_ = wire::kHeaderBytes + pulled.bytes;
  if (pulled.bytes == size) return true;
  // Too many small pieces, or another process reads the command's pipe. The header is wrong now.
  copy_back();
  put_size(batch_.get(), pulled.bytes);
  if (pulled.bytes == 0) end_ = 0;
  return end_ > 0;
}

// Takes what the pipe still has into the batch.
void OutputQueue::copy_back() {
  if (where_ != Where::kPipe) return;
  const size_t size = end_ - begin_;
  where_ = Where::kBatch;
  begin_ = end_ = 0;
  while (end_ < size) {
    const ssize_t got = read(pipe_out_.get(), batch_.get() + end_, size - end_);
    if (got <= 0) break;
    end_ += static_cast<size_t>(got);
  }
}

}  // namespace vmette::agent
