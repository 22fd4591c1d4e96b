#include "vmm/qemu/qmp.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace vmette::vmm {

using json = nlohmann::json;

Qmp::Qmp(UniqueFd socket, Event on_event)
    : channel_(std::move(socket)), on_event_(std::move(on_event)) {}

void Qmp::execute(const char* command, Reply reply) {
  execute(command, nullptr, std::move(reply));
}

void Qmp::execute(const char* command, const json& arguments, Reply reply,
                  std::vector<UniqueFd> fds) {
  const uint64_t id = ++last_id_;
  replies_.emplace(id, std::move(reply));
  json message = {{"execute", command}, {"id", id}};
  if (!arguments.is_null()) message["arguments"] = arguments;
  channel_.send(message.dump(), std::move(fds));
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
  if (const auto greeting = message.find("QMP"); greeting != message.end())
    return read_version(*greeting);
  const auto id = message.find("id");
  if (id == message.end() || !id->is_number_unsigned()) return;
  auto waiting = replies_.extract(id->get<uint64_t>());
  if (waiting.empty()) return;
  std::string error;
  if (const auto at = message.find("error"); at != message.end())
    error = at->is_object() ? at->value("desc", std::string("unknown error")) : at->dump();
  waiting.mapped()(error, message.value("return", json::object()));
}

void Qmp::read_version(const json& greeting) {
  const json* at = &greeting;
  for (const char* key : {"version", "qemu"}) {
    if (!at->is_object() || !at->contains(key)) return;
    at = &(*at)[key];
  }
  std::string version;
  for (const char* key : {"major", "minor", "micro"}) {
    if (!at->is_object() || !at->contains(key) || !(*at)[key].is_number_unsigned()) return;
    version += (version.empty() ? "" : ".") + (*at)[key].dump();
  }
  version_ = version;
}

}  // namespace vmette::vmm
