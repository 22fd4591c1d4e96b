// A vmette-vmm without a hypervisor: it speaks docs/vmm-protocol.md on descriptor 3 and plays a
// script on the control stream instead of starting a machine. The script is the one that the
// session's kernel command line names.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "vmm/line_channel.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmette_test {

// The library has closed the connection: a script ends by it wherever it stands.
struct HostGone {};

// The guest's end of the control stream. Blocking; sends whatever it is told to, right or wrong.
class FakeGuest {
 public:
  explicit FakeGuest(vmette::UniqueFd stream) : stream_(std::move(stream)) {}

  void raw(std::string_view bytes);
  void header(uint32_t length, uint16_t type, uint16_t flags, uint64_t stream);
  void frame(vmette::wire::Type type, uint64_t stream, std::string_view payload = {},
             uint16_t flags = 0);
  void data(uint64_t stream, std::string_view payload, vmette::wire::Channel channel,
            bool eof = false);
  void credit(uint64_t stream, uint32_t bytes,
              vmette::wire::Channel channel = vmette::wire::Channel::kStdin);

  // Waits for a frame of that type and passes over every other; returns its stream.
  uint64_t await(vmette::wire::Type type);
  // The same; returns its payload.
  std::string await_payload(vmette::wire::Type type);

  // `nonce`: of the WAKE that it answers.
  void hello(const std::string& nonce = {});
  // HELLO, SETUP, READY: the session is ready after it.
  void boot();
  // Waits for the next command and starts it.
  uint64_t start_command();
  void exit(uint64_t stream, const vmette::wire::Exit& exit = {});

  [[nodiscard]] int fd() const { return stream_.get(); }
  void close() { stream_.reset(); }

 private:
  // The payload is valid until the next call.
  vmette::wire::Frame await_frame(vmette::wire::Type type);

  vmette::UniqueFd stream_;
  vmette::wire::Decoder decoder_{vmette::wire::Sender::kHost};
};

// The helper's end of its socket. Blocking.
class FakeHelper {
 public:
  explicit FakeHelper(vmette::UniqueFd socket);

  // The next request; its "id" is what answer() wants.
  nlohmann::json request();
  void line(std::string_view text);
  void ok(const nlohmann::json& request, nlohmann::json fields = nlohmann::json::object());
  // Announces a control stream; returns the guest's end.
  FakeGuest channel();
  // Answers `create` and `start` as a good helper does; returns the guest's end.
  FakeGuest bring_up();
  // The same with all that a helper says of a machine that can be saved.
  FakeGuest bring_up_to_save();
  // Answers whatever comes until the library closes the socket.
  void serve();
  // The request that was read to learn the script.
  [[nodiscard]] const nlohmann::json& create() const { return create_; }

 private:
  vmette::vmm::LineChannel channel_;
  nlohmann::json create_;
};

using GuestScript = std::function<void(FakeGuest&)>;
using HelperScript = std::function<void(FakeHelper&)>;

const std::map<std::string, GuestScript>& guest_scripts();
const std::map<std::string, GuestScript>& command_scripts();
const std::map<std::string, GuestScript>& call_scripts();
const std::map<std::string, HelperScript>& helper_scripts();
const std::map<std::string, HelperScript>& save_scripts();

}  // namespace vmette_test
