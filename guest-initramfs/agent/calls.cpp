#include "calls.h"

#include <cerrno>
#include <iterator>

#include "directory_calls.h"
#include "file_calls.h"
#include "file_ops.h"
#include "tree_calls.h"

namespace vmette::agent {
namespace {

using Immediate = Answer (*)(const RootFs&, const wire::Call&);
using Make = std::unique_ptr<OpenCall> (*)(CallContext&, uint64_t, const wire::Call&);

template <class T>
std::unique_ptr<OpenCall> make(CallContext& context, uint64_t stream, const wire::Call& request) {
  return std::make_unique<T>(context, stream, request);
}

struct Operation {
  std::string_view name;
  Immediate immediate;  // or
  Make make;
};

constexpr Operation kOperations[] = {
    {wire::op::kStat, stat_file, nullptr},
    {wire::op::kMkdir, make_directory, nullptr},
    {wire::op::kRename, rename_file, nullptr},
    {wire::op::kSymlink, make_symlink, nullptr},
    {wire::op::kChmod, change_mode, nullptr},
    {wire::op::kChown, change_owner, nullptr},
    {wire::op::kSetMtime, set_mtime, nullptr},
    {wire::op::kStats, [](const RootFs& root, const wire::Call&) { return machine_stats(root); },
     nullptr},
    {wire::op::kRead, nullptr, make<FileReader>},
    {wire::op::kWrite, nullptr, make<FileWriter>},
    {wire::op::kList, nullptr, make<Lister>},
    {wire::op::kRemove, nullptr, make<Remover>},
    {wire::op::kPack, nullptr, make<TreeSender>},
    {wire::op::kUnpack, nullptr, make<TreeReceiver>},
};

const Operation* find_operation(std::string_view name) {
  for (const Operation& operation : kOperations)
    if (operation.name == name) return &operation;
  return nullptr;
}

}  // namespace

void OpenCall::cancel() {
  if (!over_) fail(ECANCELED);
}

void OpenCall::succeed(const wire::CallResult& result) {
  over_ = true;
  context_.control.send(wire::Type::kResult, 0, stream_, encode(result));
  context_.finished->push_back(stream_);
}

void OpenCall::fail(int error) {
  fail(error, path_);
}

void OpenCall::fail(int error, const std::string& path) {
  over_ = true;
  context_.control.send(wire::Type::kError, 0, stream_,
                        encode(wire::Failure{op_, error, path, ""}));
  context_.finished->push_back(stream_);
}

Calls::Calls(CallContext context) : context_(context) {
  context_.finished = &finished_;
}

bool Calls::begin(uint64_t stream, const wire::Call& request) {
  const Operation* operation = find_operation(request.op);
  const auto refuse = [&](int error, const char* message) {
    context_.control.send(wire::Type::kError, 0, stream,
                          encode(wire::Failure{request.op, error, request.path, message}));
    return true;
  };
  if (operation == nullptr) return refuse(ENOSYS, "this agent does not know the operation");
  // The kernel would see only a part of it.
  if (request.path.find('\0') != std::string::npos || request.to.find('\0') != std::string::npos)
    return refuse(EINVAL, "a path holds a NUL byte");
  if (operation->immediate != nullptr) {
    const Answer answer = operation->immediate(context_.root, request);
    if (answer.error != 0) return refuse(answer.error, "");
    context_.control.send(wire::Type::kResult, 0, stream, encode(answer.result));
    return true;
  }
  if (by_stream_.size() >= kMaxOpen) return false;
  OpenCall& call = *(by_stream_[stream] = operation->make(context_, stream, request));
  call.start();
  return true;
}

OpenCall* Calls::find(uint64_t stream) {
  const auto found = by_stream_.find(stream);
  return found == by_stream_.end() ? nullptr : found->second.get();
}

void Calls::sweep() {
  for (const uint64_t stream : finished_) by_stream_.erase(stream);
  finished_.clear();
}

void Calls::abandon() {
  by_stream_.clear();
  finished_.clear();
}

}  // namespace vmette::agent
