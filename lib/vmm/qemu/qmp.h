#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "vmm/line_channel.h"

namespace vmette::vmm {

// A client of QEMU's control socket. Never blocks; the owner polls fd() and calls on_ready().
class Qmp {
 public:
  // `error` holds QEMU's own words and is empty on success.
  using Reply = std::function<void(const std::string& error, const nlohmann::json& value)>;
  using Event = std::function<void(const std::string& name, const nlohmann::json& data)>;

  // Opens the dialogue: commands may be given at once.
  Qmp(UniqueFd socket, Event on_event);

  [[nodiscard]] int fd() const { return channel_.fd(); }
  [[nodiscard]] bool wants_write() const { return channel_.wants_write(); }
  [[nodiscard]] bool open() const { return open_; }

  // `reply` is called from on_ready(), or never when QEMU ends first. `fds` go with the command.
  void execute(const char* command, Reply reply);
  void execute(const char* command, const nlohmann::json& arguments, Reply reply,
               std::vector<UniqueFd> fds = {});
  // "7.2.22", once the first reply has come.
  [[nodiscard]] const std::string& version() const { return version_; }
  // Sends and receives what it can and hands out replies and events.
  void on_ready();

 private:
  void dispatch(const std::string& line);
  void read_version(const nlohmann::json& greeting);

  LineChannel channel_;
  Event on_event_;
  std::map<uint64_t, Reply> replies_;
  uint64_t last_id_ = 0;
  std::string version_;
  bool open_ = true;
};

}  // namespace vmette::vmm
