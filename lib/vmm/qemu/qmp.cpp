#include "vmm/qemu/qmp.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace vmette::vmm {

using json = nlohmann::json;

Qmp::Qmp(UniqueFd socket, Event on_event)
    : channel_(std::move(socket)), on_event_(std::move(on_event)) {}

void Qmp::execute(const char* command, Reply reply) {
  const uint64_t id = ++last_id_;
  replies_.emplace(id, std::move(reply));
  channel_.send(json{{"execute", command}, {"id", id}}.dump());
}

void Qmp::on_ready() {
  channel_.flush();
  std::string line;
  while (open_) {
    const LineChannel::Status status = channel_.receive(line);
    if (status == LineChannel::Status::kMore) return;
    if (status == LineChannel::Status::kLine)
      dispatch(line);
    else
      open_ = false;
  }
}

void Qmp::dispatch(const std::string& line) {
  const json message = json::parse(line, nullptr, false);
  if (!message.is_object()) return;
  if (const auto event = message.find("event"); event != message.end() && event->is_string()) {
    on_event_(event->get<std::string>(), message.value("data", json::object()));
    return;
  }
  const auto id = message.find("id");
  if (id == message.end() || !id->is_number_unsigned()) return;
  auto waiting = replies_.extract(id->get<uint64_t>());
  if (waiting.empty()) return;
  std::string error;
  if (const auto at = message.find("error"); at != message.end())
    error = at->is_object() ? at->value("desc", std::string("unknown error")) : at->dump();
  waiting.mapped()(error, message.value("return", json::object()));
}

}  // namespace vmette::vmm
