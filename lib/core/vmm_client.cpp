#include "core/vmm_client.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <chrono>

#include "base/base64.h"

namespace vmette::core {
namespace {

using boost::asio::posix::stream_descriptor;
using ErrorCode = boost::system::error_code;
using json = nlohmann::json;

// A helper that has lost its socket only has to kill its hypervisor.
constexpr std::chrono::milliseconds kHelperEndMs{2000};

// Handled in one turn, so that a helper that never stops talking leaves time for the others.
constexpr int kLinesPerTurn = 64;

// A helper's own words, or that it had none.
std::string message_of(const json& failure) {
  const std::string message = one_line(text_field(failure, "message"));
  return message.empty() ? "the machine's helper process failed and did not say why" : message;
}

Error answer_error(const json& error) {
  const std::string code = text_field(error, "code");
  const bool missing = code == "not_found";
  const bool config = code == "bad_kernel" || code == "bad_initramfs" ||
                      code == "kvm_unavailable" || code == "virtiofs_unavailable" ||
                      code == "bad_disk" || code == "bad_scratch" || code == "not_snapshottable";
  return {missing                                              ? Code::kNotFound
          : config                                             ? Code::kInvalidConfig
          : code == "save_failed"                              ? Code::kSnapshot
          : code == "bad_snapshot" || code == "restore_failed" ? Code::kRestoreFailed
                                                               : Code::kStartFailed,
          message_of(error), one_line(text_field(error, "stage"))};
}

}  // namespace

std::string text_field(const json& map, const char* key) {
  const auto found = map.find(key);
  return found != map.end() && found->is_string() ? found->get<std::string>() : std::string();
}

VmmClient::VmmClient(boost::asio::io_context& io, HelperProcess helper, Callbacks callbacks)
    : helper_(std::move(helper)),
      callbacks_(std::move(callbacks)),
      channel_(std::move(helper_.socket), 1),
      mark_(std::move(helper_.mark)),
      socket_watch_(io, channel_.fd()),
      process_watch_(io, helper_.pidfd.get()),
      kill_timer_(io) {}

void VmmClient::start() {
  wait_readable();
  watch_process();
}

void VmmClient::request(const char* op, json fields, Answer answer) {
  if (ended_) return;
  const uint64_t id = next_id_++;
  fields["id"] = id;
  fields["op"] = op;
  pending_.emplace(id, std::move(answer));
  // A dead peer shows as end of stream on the reading side.
  if (channel_.send(fields.dump(-1, ' ', false, json::error_handler_t::replace)) &&
      channel_.wants_write())
    wait_writable();
}

void VmmClient::wait_readable() {
  socket_watch_.async_wait(stream_descriptor::wait_read,
                           [self = shared_from_this()](const ErrorCode& error) {
                             if (!error && !self->ended_) self->read_lines();
                           });
}

void VmmClient::wait_writable() {
  if (writing_) return;
  writing_ = true;
  socket_watch_.async_wait(stream_descriptor::wait_write,
                           [self = shared_from_this()](const ErrorCode& error) {
                             self->writing_ = false;
                             if (error || self->ended_) return;
                             if (self->channel_.flush() && self->channel_.wants_write())
                               self->wait_writable();
                           });
}

void VmmClient::read_lines() {
  using Status = vmm::LineChannel::Status;
  std::string line;
  for (int turn = 0; !ended_; ++turn) {
    if (turn == kLinesPerTurn)
      return boost::asio::post(socket_watch_.get_executor(),
                               [self = shared_from_this()] { self->read_lines(); });
    switch (channel_.receive(line)) {
      case Status::kLine:
        handle(line);
        break;
      case Status::kMore:
        return wait_readable();
      case Status::kClosed:
        return fail("it ended, and the machine with it");
      case Status::kBroken:
        return fail(channel_.error());
    }
  }
}

void VmmClient::handle(const std::string& line) {
  const json message = json::parse(line, nullptr, false);
  if (!message.is_object()) return fail("it sent a line that is no JSON object");
  if (message.contains("event")) return handle_event(message);
  const auto id = message.find("id");
  const auto found = id != message.end() && id->is_number_unsigned()
                         ? pending_.find(id->get<uint64_t>())
                         : pending_.end();
  if (found == pending_.end()) return fail("it answered a request that was never made");
  const Answer answer = std::move(found->second);
  pending_.erase(found);
  if (const auto error = message.find("error"); error != message.end() && error->is_object()) {
    answer(answer_error(*error));
  } else if (const auto ok = message.find("ok"); ok != message.end()) {
    if (!ok->is_object()) return fail("its answer's \"ok\" is no JSON object");
    answer(*ok);
  } else {
    fail("its answer has neither \"ok\" nor \"error\"");
  }
}

void VmmClient::handle_event(const json& message) {
  const std::string event = text_field(message, "event");
  if (event == "channel") {
    UniqueFd fd = channel_.take_fd();
    if (!fd) return fail("it announced the control stream without a descriptor");
    callbacks_.channel(std::move(fd));
  } else if (event == "console") {
    if (auto bytes = base64_decode(text_field(message, "data"))) callbacks_.console(*bytes);
  } else if (event == "disk_error") {
    const auto full = message.find("full");
    callbacks_.disk_error({text_field(message, "serial"), full != message.end() && *full == true,
                           one_line(text_field(message, "reason"))});
  } else if (event == "continued") {
    callbacks_.continued();
  } else if (event == "stopped") {
    callbacks_.stopped({text_field(message, "reason"), text_field(message, "message")});
  } else if (event == "failed") {
    callbacks_.failed(
        {Code::kStartFailed, message_of(message), one_line(text_field(message, "stage"))});
  }
}

void VmmClient::fail(const std::string& why) {
  if (ended_) return;
  callbacks_.failed(Error(Code::kStartFailed,
                          one_line(fmt::format("the machine's helper process failed: {}", why)),
                          "helper"));
}

void VmmClient::watch_process() {
  process_watch_.async_wait(
      stream_descriptor::wait_read, [self = shared_from_this()](const ErrorCode& error) {
        if (error) return;
        const std::string how = reap_helper(self->helper_);
        if (how.empty()) return self->watch_process();
        const bool unexpected = !self->ended_;
        if (unexpected) {
          // What it said before it ended comes first.
          self->read_lines();
          if (!self->ended_)
            self->callbacks_.failed(Error(
                Code::kStartFailed, fmt::format("the machine's helper process {}", how), "helper"));
        }
        self->end();
        self->kill_timer_.cancel();
        self->process_watch_.release();
        const auto gone = std::move(self->callbacks_.gone);
        self->callbacks_ = {};
        if (gone) gone(how);
      });
}

void VmmClient::end() {
  if (ended_) return;
  ended_ = true;
  pending_.clear();
  socket_watch_.release();
  // Also for a child of fork() that has just got a copy.
  shutdown(channel_.fd(), SHUT_RDWR);
  mark_.reset();
  channel_ = vmm::LineChannel(UniqueFd());
  kill_timer_.expires_after(kHelperEndMs);
  kill_timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error) kill_helper(self->helper_);
  });
}

}  // namespace vmette::core
