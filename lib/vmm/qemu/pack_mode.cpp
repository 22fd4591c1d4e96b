#include "vmm/qemu/pack_mode.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/base64.h"
#include "vmm/line_channel.h"
#include "vmm/qemu/child.h"
#include "vmm/qemu/failure.h"
#include "vmm/qemu/pack_output.h"
#include "vmm/qemu/parent_watch.h"
#include "vmm/qemu/program.h"

namespace vmette::vmm {
namespace {

using nlohmann::json;

constexpr int kImageFd = 3;  // of mksquashfs
// Between two looks at a program that has closed its output and has little left to do.
constexpr int kReapPauseMs = 1;

struct Order {
  pid_t parent_pid = 0;
  std::string source;              // absolute
  std::vector<std::string> empty;  // below it, relative: their contents are left out
  UniqueFd image;
};

// The library is gone: nobody wants the image any more.
struct PeerGone {};

// Names in a file system need not be UTF-8.
std::string bytes_of(const json& text) {
  auto bytes = base64_decode(text.get_ref<const std::string&>());
  if (!bytes) throw Failure("bad_request", "a name is not base64");
  return std::move(*bytes);
}

Order read_order(LineChannel& channel) {
  std::string line;
  LineChannel::Status status = LineChannel::Status::kMore;
  while ((status = channel.receive(line)) == LineChannel::Status::kMore) {
    pollfd item{channel.fd(), POLLIN, 0};
    poll(&item, 1, -1);
  }
  if (status != LineChannel::Status::kLine) throw PeerGone();
  Order order;
  const json fields = json::parse(line, nullptr, false);
  try {
    order.parent_pid = fields.at("parent_pid").get<pid_t>();
    order.source = bytes_of(fields.at("source"));
    for (const json& name : fields.at("empty")) order.empty.push_back(bytes_of(name));
  } catch (const json::exception& error) {
    throw Failure("bad_request", error.what());
  }
  order.image = channel.take_fd();
  if (!order.image) throw Failure("bad_request", "the image's descriptor is missing");
  return order;
}

// A name as a pattern that nothing else matches.
std::string escaped(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool plain = c == '/' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

ChildPlan plan_of(const Order& order, const std::string& program, const char* compressor,
                  int output) {
  ChildPlan plan;
  plan.argv = {program, order.source, fmt::format("/proc/self/fd/{}", kImageFd)};
  // The same image from the same directory, whenever it is packed. Levels that take little time.
  for (const char* word : {"-noappend", "-quiet", "-progress", "-mkfs-time", "0", "-comp"})
    plan.argv.emplace_back(word);
  for (const char* word : {compressor, "-Xcompression-level", "1", "-wildcards"})
    plan.argv.emplace_back(word);
  if (!order.empty.empty()) plan.argv.emplace_back("-e");
  for (const std::string& name : order.empty)
    for (const char* all : {"/*", "/.*"}) plan.argv.push_back(escaped(name) + all);
  plan.env = {"PATH=/usr/bin:/bin", "LC_ALL=C"};
  plan.out = output;
  plan.fds = {order.image.get()};
  return plan;
}

// One run of the program.
class Run {
 public:
  Run(LineChannel& channel, const ParentWatch& parent) : channel_(channel), parent_(parent) {}

  // The wait status. Throws PeerGone.
  int operator()(const Order& order, const std::string& program, const char* compressor) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
      throw std::system_error(errno, std::generic_category(), "pipe");
    UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    Child child(plan_of(order, program, compressor, writer.get()));
    writer.reset();
    std::optional<int> status;
    while (reader || !(status = child.reap())) {
      std::array<pollfd, 3> items = {
          {{channel_.fd(), POLLIN, 0}, {parent_.fd.get(), POLLIN, 0}, {reader.get(), POLLIN, 0}}};
      if (poll(items.data(), items.size(), reader ? -1 : kReapPauseMs) < 0) continue;
      if (items[0].revents != 0 || items[1].revents != 0) throw PeerGone();
      if (items[2].revents != 0) read_some(reader);
    }
    output_.finish();
    return *status;
  }

  [[nodiscard]] const PackOutput& output() const { return output_; }

 private:
  void read_some(UniqueFd& reader) {
    std::array<char, 4096> bytes{};
    const ssize_t count = read(reader.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) return;
    if (count <= 0) return reader.reset();
    const auto percent = output_.add({bytes.data(), static_cast<size_t>(count)});
    if (!percent || *percent == told_) return;
    told_ = *percent;
    if (!channel_.send(json{{"percent", told_}}.dump())) throw PeerGone();
  }

  LineChannel& channel_;
  const ParentWatch& parent_;
  PackOutput output_;
  int told_ = -1;
};

json pack(LineChannel& channel) {
  const Order order = read_order(channel);
  const ParentWatch parent = watch_parent(order.parent_pid);
  if (parent.gone) throw PeerGone();
  const std::string program =
      find_tool("VMETTE_MKSQUASHFS", "mksquashfs",
                {"/usr/bin/mksquashfs", "/usr/sbin/mksquashfs", "/usr/local/bin/mksquashfs",
                 "/opt/homebrew/bin/mksquashfs"});
  if (program.empty())
    throw Failure("not_found",
                  "the directory is packed with mksquashfs, which is not installed; install the "
                  "package squashfs-tools or set VMETTE_MKSQUASHFS");
  Run zstd(channel, parent);
  int status = zstd(order, program, "zstd");
  PackOutput output = zstd.output();
  if (status != 0 && output.lacks_compressor()) {
    Run gzip(channel, parent);
    status = gzip(order, program, "gzip");
    output = gzip.output();
  }
  if (status != 0)
    throw Failure("failed", fmt::format("mksquashfs {}{}{}", describe_status(status),
                                        output.words().empty() ? "" : ": ", output.words()));
  return {{"ok", {{"unread", output.unread()}, {"first_unread", output.first_unread()}}}};
}

}  // namespace

int pack_mode(UniqueFd socket) {
  LineChannel channel(std::move(socket), 1);
  json answer;
  try {
    answer = pack(channel);
  } catch (const PeerGone&) {
    return 0;
  } catch (const Failure& failure) {
    answer = {{"error", {{"code", failure.code}, {"message", failure.what()}}}};
  } catch (const std::system_error& error) {
    answer = {{"error", {{"code", "failed"}, {"message", error.what()}}}};
  }
  // Names of files need not be UTF-8.
  channel.send(answer.dump(-1, ' ', false, json::error_handler_t::replace));
  while (channel.wants_write()) {
    pollfd item{channel.fd(), POLLOUT, 0};
    poll(&item, 1, -1);
    if (!channel.flush()) break;
  }
  return 0;
}

}  // namespace vmette::vmm
