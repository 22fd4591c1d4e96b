#include "output_queue.h"

#include <algorithm>
#include <cstring>

namespace vmette::agent {
namespace {

// A frame is not started in a rest of a batch smaller than this.
constexpr size_t kSmallestRoom = 4096;

}  // namespace

OutputQueue::OutputQueue() : batch_(new std::byte[kBatchBytes]) {}

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

std::span<const std::byte> OutputQueue::front() {
  if (begin_ == end_) fill();
  const auto* base =
      writing_large_ ? reinterpret_cast<const std::byte*>(large_.data()) : batch_.get();
  return {base + begin_, end_ - begin_};
}

void OutputQueue::fill() {
  begin_ = end_ = 0;
  writing_large_ = messages_.size() > kBatchBytes;
  if (writing_large_) {
    large_ = std::move(messages_);
    messages_.clear();
    end_ = large_.size();
    return;
  }
  if (large_.capacity() > kBatchBytes) std::string().swap(large_);
  std::memcpy(batch_.get(), messages_.data(), messages_.size());
  end_ = messages_.size();
  messages_.clear();
  while (!round_.empty() && kBatchBytes - end_ >= wire::kHeaderBytes + kSmallestRoom) pull_frame();
}

void OutputQueue::pull_frame() {
  Source* source = round_.front();
  round_.pop_front();
  source->queued_ = false;
  const size_t room =
      std::min<size_t>(kBatchBytes - end_ - wire::kHeaderBytes, wire::kMaxDataBytes);
  std::byte* head = batch_.get() + end_;
  const uint64_t stream = source->stream();
  const Source::Pulled pulled = source->pull({head + wire::kHeaderBytes, room});
  if (pulled.more) offer(*source);
  if (pulled.send) {
    wire::put_header(head, static_cast<uint32_t>(pulled.bytes), wire::Type::kData, pulled.flags,
                     stream);
    end_ += wire::kHeaderBytes + pulled.bytes;
  }
}

}  // namespace vmette::agent
