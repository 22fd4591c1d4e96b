#include "vmm/helper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "base/base64.h"

namespace vmette_test {
namespace {

using json = nlohmann::json;
using vmette::UniqueFd;
using vmette::vmm::LineChannel;

constexpr int kDeadlineMs = 60'000;

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set");
  return value;
}

std::pair<UniqueFd, UniqueFd> socket_pair() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

bool wait_ready(int fd, int deadline_ms, bool write = false) {
  pollfd entry{fd, static_cast<short>(write ? POLLIN | POLLOUT : POLLIN), 0};
  return poll(&entry, 1, deadline_ms) > 0;
}

}  // namespace

UniqueFd watch_process(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
  if (!fd) throw std::system_error(errno, std::generic_category(), "pidfd_open");
  return fd;
}

bool wait_for_end(const UniqueFd& process, std::chrono::milliseconds deadline) {
  return wait_ready(process.get(), static_cast<int>(deadline.count()));
}

bool wait_for_file(const std::string& path) {
  for (int i = 0; i < 6000; ++i) {
    if (access(path.c_str(), F_OK) == 0) return true;
    poll(nullptr, 0, 10);
  }
  return false;
}

pid_t Helper::spawn(const UniqueFd& socket) {
  const std::string program = environment("VMETTE_VMM");
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid > 0) return pid;
  // dup2 leaves CLOEXEC set when the descriptor is in its place already.
  if (socket.get() == 3) {
    fcntl(3, F_SETFD, 0);
  } else if (dup2(socket.get(), 3) < 0) {
    _exit(126);
  }
  execl(program.c_str(), program.c_str(), nullptr);
  _exit(127);
}

Helper::Helper() : channel_(UniqueFd()) {
  auto [near, far] = socket_pair();
  pid_ = spawn(far);
  channel_ = LineChannel(std::move(near), 4);
}

Helper::~Helper() {
  hang_up();
  if (pid_ <= 0) return;
  if (!wait_for_end(watch_process(pid_))) kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

int Helper::wait() {
  if (!wait_for_end(watch_process(pid_))) throw std::runtime_error("the helper does not end");
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

json Helper::next() {
  std::string line;
  while (true) {
    switch (channel_.receive(line)) {
      case LineChannel::Status::kLine: {
        json message = json::parse(line);
        if (message.value("event", "") == "console") {
          console_ += vmette::base64_decode(message.at("data").get<std::string>()).value();
          dropped_ += message.at("dropped").get<uint64_t>();
        }
        return message;
      }
      case LineChannel::Status::kMore:
        if (!wait_ready(channel_.fd(), kDeadlineMs, channel_.wants_write()))
          throw std::runtime_error("the helper says nothing");
        channel_.flush();
        break;
      case LineChannel::Status::kClosed:
        return nullptr;
      case LineChannel::Status::kBroken:
        throw std::runtime_error(channel_.error());
    }
  }
}

uint64_t Helper::send(const char* op, json fields) {
  fields["id"] = ++last_id_;
  fields["op"] = op;
  channel_.send(fields.dump());
  return last_id_;
}

json Helper::answer_to(const json& id) {
  while (true) {
    json message = next();
    if (message.is_null()) throw std::runtime_error("the helper closed the socket");
    if (message.contains("event"))
      events_.push_back(std::move(message));
    else if (message.at("id") == id)
      return message;
  }
}

json Helper::call(const char* op, json fields) {
  return answer_to(send(op, std::move(fields)));
}

json Helper::wait_for(std::string_view event) {
  while (true) {
    while (!events_.empty()) {
      json message = std::move(events_.front());
      events_.erase(events_.begin());
      if (message.at("event") == event) return message;
    }
    json message = next();
    if (message.is_null()) throw std::runtime_error("the helper closed the socket");
    if (message.contains("event")) events_.push_back(std::move(message));
  }
}

bool Helper::closes() {
  while (!next().is_null()) {
  }
  return true;
}

TemporaryFolder::TemporaryFolder()
    : path_(std::filesystem::temp_directory_path() / "vmette-test-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr)
    throw std::system_error(errno, std::generic_category(), "mkdtemp");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, std::string_view bytes,
                                   int mode) const {
  std::string file = path_ + "/" + name;
  std::ofstream(file, std::ios::binary) << bytes;
  chmod(file.c_str(), static_cast<mode_t>(mode));
  return file;
}

std::string fake_bzimage() {
  std::string bytes(4096, '\0');
  bytes.replace(0x1fe, 2, "\x55\xaa");
  bytes.replace(0x202, 4, "HdrS");
  return bytes;
}

std::string guest_kernel() {
  const bool x86 = vmette::vmm::host_arch() == vmette::vmm::Arch::kX86_64;
  return environment("VMETTE_ASSETS_DIR") + (x86 ? "/x86_64/vmlinux" : "/aarch64/Image");
}

std::string guest_initramfs() {
  return environment("VMETTE_ASSETS_DIR") + "/" + std::string(name_of(vmette::vmm::host_arch())) +
         "/initramfs.cpio";
}

vmette::vmm::Machine bare_machine() {
  vmette::vmm::Machine machine;
  machine.version = VMETTE_VERSION;
  machine.parent_pid = getpid();
  machine.kernel = guest_kernel();
  machine.memory_mib = 256;
  return machine;
}

vmette::vmm::Machine scripted_machine(const TemporaryFolder& folder, std::string_view script) {
  vmette::vmm::Machine machine;
  machine.version = VMETTE_VERSION;
  machine.parent_pid = getpid();
  machine.arch = vmette::vmm::Arch::kX86_64;
  machine.accel = vmette::vmm::Accel::kTcg;
  machine.kernel = folder.write("kernel", fake_bzimage());
  machine.qemu = folder.write("qemu", "#!/bin/sh\n" + std::string(script), 0700);
  return machine;
}

}  // namespace vmette_test
