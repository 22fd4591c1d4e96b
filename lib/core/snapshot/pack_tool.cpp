#include "core/snapshot/pack_tool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/base64.h"
#include "core/helper_process.h"
#include "core/log.h"
#include "vmm/line_channel.h"

namespace vmette::core {
namespace {

using nlohmann::json;

constexpr int kProgressMs = 200;

Error failed(const PackOrder& order, const std::string& what, Code code = Code::kSnapshot) {
  return {code, one_line(fmt::format("root '{}': {}", order.source, what)), "rootfs"};
}

// The helper's process, ended in any case.
class Packer {
 public:
  explicit Packer(HelperProcess process)
      : process_(std::move(process)),
        channel_(std::move(process_.socket)),
        mark_(std::move(process_.mark)) {}
  // Without its socket it ends at once, and the packing with it.
  ~Packer() {
    kill_helper(process_);
    pollfd item{process_.pidfd.get(), POLLIN, 0};
    while (poll(&item, 1, -1) < 0 && errno == EINTR) {
    }
    reap_helper(process_);
  }
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  Result<void> run(const PackOrder& order) {
    json empty = json::array();
    for (const std::string& name : order.empty) empty.push_back(base64_encode(name));
    const json fields = {{"parent_pid", getpid()},
                         {"source", base64_encode(order.source)},
                         {"empty", std::move(empty)}};
    std::vector<UniqueFd> fds;
    fds.emplace_back(fcntl(order.image, F_DUPFD_CLOEXEC, 0));
    const std::string line = fields.dump();
    if (line.size() > vmm::kMaxLineBytes)
      return failed(order, "too much is mounted below it; give a directory without mounts");
    channel_.send(line, std::move(fds));
    return follow(order);
  }

 private:
  Result<void> follow(const PackOrder& order) {
    std::string line;
    while (true) {
      if (order.progress && !order.progress(percent_))
        return Error(Code::kCancelled, "the caller's progress callback gave up", "rootfs");
      switch (channel_.receive(line)) {
        case vmm::LineChannel::Status::kLine:
          if (take(line)) return answer(order);
          break;
        case vmm::LineChannel::Status::kMore: {
          const short events = channel_.wants_write() ? POLLIN | POLLOUT : POLLIN;
          pollfd item{channel_.fd(), events, 0};
          poll(&item, 1, kProgressMs);
          if (channel_.wants_write()) channel_.flush();
          break;
        }
        default:
          return failed(order, "the helper that packs it has ended");
      }
    }
  }

  // True for the answer; all else tells how far it is.
  bool take(const std::string& line) {
    last_ = json::parse(line, nullptr, false);
    const auto percent = last_.is_object() ? last_.find("percent") : last_.end();
    if (!last_.is_object() || percent == last_.end()) return true;
    if (percent->is_number_integer()) percent_ = percent->get<int>();
    return false;
  }

  Result<void> answer(const PackOrder& order) {
    try {
      if (const auto ok = last_.find("ok"); ok != last_.end()) {
        const auto unread = ok->at("unread").get<uint64_t>();
        if (unread > 0 && log_enabled(LogLevel::kInfo))
          log(LogLevel::kInfo, 0,
              one_line(fmt::format("root '{}': {} files or directories could not be read: {}",
                                   order.source, unread,
                                   ok->at("first_unread").get<std::string>())));
        return success();
      }
      const json& error = last_.at("error");
      const bool missing = error.at("code") == "not_found";
      return failed(order, error.at("message").get<std::string>(),
                    missing ? Code::kNotFound : Code::kSnapshot);
    } catch (const json::exception& error) {
      return failed(order,
                    fmt::format("the helper that packs it answers nonsense: {}", error.what()));
    }
  }

  HelperProcess process_;
  vmm::LineChannel channel_;
  FdMark mark_;  // of the channel's socket
  json last_;
  int percent_ = 0;
};

}  // namespace

Result<void> pack_directory(const PackOrder& order) {
  auto process = spawn_helper(order.helper, {"pack"});
  if (!process) return process.error();
  return Packer(std::move(process.value())).run(order);
}

}  // namespace vmette::core
