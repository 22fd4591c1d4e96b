// One call that is under way: it has sent no RESULT or ERROR yet.
#pragma once

#include <cstdint>
#include <vector>

#include "control.h"
#include "loop.h"
#include "root_fs.h"
#include "wire/calls.h"

namespace vmette::agent {

// What every call needs of the agent; outlives them all.
struct CallContext {
  Loop& loop;
  ControlStream& control;
  const RootFs& root;
  std::vector<uint64_t>* finished;  // streams over since the last sweep
};

class OpenCall {
 public:
  OpenCall(CallContext& context, uint64_t stream, const wire::Call& request)
      : context_(context), stream_(stream), op_(request.op), path_(request.path) {}
  virtual ~OpenCall() = default;
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;

  // Begins; may be over at once.
  virtual void start() = 0;
  // Frames of this stream; false when the frame breaks the protocol.
  [[nodiscard]] virtual bool data(const wire::Frame& /*frame*/) { return false; }
  [[nodiscard]] virtual bool credit(const wire::Frame& /*frame*/) { return false; }
  // The host gives up; what was begun is undone or left where it stands.
  void cancel();

 protected:
  // Each answers the call, which is then over: no other one may follow.
  void succeed(const wire::CallResult& result);
  void fail(int error);
  void fail(int error, const std::string& path);

  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  CallContext& context_;
  const uint64_t stream_;

 private:
  std::string op_;
  std::string path_;
  bool over_ = false;
};

}  // namespace vmette::agent
