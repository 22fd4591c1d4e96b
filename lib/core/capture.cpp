#include "core/capture.h"

#include <algorithm>
#include <limits>

namespace vmette::core {

void Capture::append(wire::Channel channel, wire::Bytes bytes) {
  const std::lock_guard lock(mutex_);
  const bool is_err = channel == wire::Channel::kStderr;
  std::string& data = data_[is_err ? 1 : 0];
  total_[is_err ? 1 : 0] += bytes.size();
  const size_t kept = std::min(bytes.size(), limit_ - data.size());
  if (kept == 0) return;
  data.append(reinterpret_cast<const char*>(bytes.data()), kept);
  const auto count = static_cast<uint32_t>(kept);  // a frame's payload, far below 4 GiB
  const bool joins = !order_.empty() && order_.back().is_err == is_err &&
                     order_.back().bytes <= std::numeric_limits<uint32_t>::max() - count;
  if (joins) {
    order_.back().bytes += count;
  } else {
    order_.push_back({is_err, count});
  }
}

CapturedOutput Capture::read() const {
  const std::lock_guard lock(mutex_);
  CapturedOutput output;
  output.out = {data_[0], total_[0]};
  output.err = {data_[1], total_[1]};
  output.combined.total = total_[0] + total_[1];
  output.combined.data.reserve(data_[0].size() + data_[1].size());
  size_t at[2] = {0, 0};
  for (const Run& run : order_) {
    const size_t which = run.is_err ? 1 : 0;
    output.combined.data.append(data_[which], at[which], run.bytes);
    at[which] += run.bytes;
  }
  return output;
}

}  // namespace vmette::core
