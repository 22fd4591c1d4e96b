#include "vmm/qemu/version_query.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "vmm/qemu/failure.h"
#include "vmm/qemu/program.h"

namespace vmette::vmm {
namespace {

constexpr size_t kMaxBytes = 4096;

}  // namespace

VersionQuery::VersionQuery(const std::string& program) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw Failure("hypervisor", "cannot make a pipe: " + std::generic_category().message(errno));
  output_.reset(ends[0]);
  const UniqueFd writer(ends[1]);
  fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  ChildPlan plan;
  plan.argv = {program, "--version"};
  plan.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"};
  plan.out = writer.get();
  try {
    child_.emplace(plan);
  } catch (const std::system_error& error) {
    throw Failure("hypervisor", fmt::format("cannot run QEMU: {}", error.what()));
  }
}

void VersionQuery::on_output() {
  if (!output_) return;
  std::array<char, kMaxBytes> bytes{};
  const ssize_t count = read(output_.get(), bytes.data(), bytes.size());
  if (count > 0 && text_.size() < kMaxBytes) text_.append(bytes.data(), static_cast<size_t>(count));
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) output_.reset();
}

std::optional<std::string> VersionQuery::finish() {
  if (!child_->reap()) return std::nullopt;
  on_output();
  return parse_version(text_);
}

}  // namespace vmette::vmm
