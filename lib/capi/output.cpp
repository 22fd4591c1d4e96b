#include "capi/handles.h"

namespace {

using vmette::core::CapturedOutput;

const CapturedOutput::Stream* find(const vmette_output* output, vmette_stream stream) {
  if (output == nullptr) return nullptr;
  const CapturedOutput& captured = output->output.captured;
  switch (stream) {
    case VMETTE_STDOUT:
      return &captured.out;
    case VMETTE_STDERR:
      return &captured.err;
    case VMETTE_COMBINED:
      return &captured.combined;
    default:
      return nullptr;
  }
}

}  // namespace

extern "C" {

vmette_end vmette_output_end(const vmette_output* output) {
  return output == nullptr ? VMETTE_END_NONE : static_cast<vmette_end>(output->output.end.kind);
}

int32_t vmette_output_exit_code(const vmette_output* output) {
  return output == nullptr ? -1 : output->output.end.exit_code;
}

const char* vmette_output_end_message(const vmette_output* output) {
  return output == nullptr ? "" : output->output.end.message.c_str();
}

const char* vmette_output_data(const vmette_output* output, vmette_stream stream, size_t* size) {
  const auto* found = find(output, stream);
  if (size != nullptr) *size = found == nullptr ? 0 : found->data.size();
  return found == nullptr ? "" : found->data.c_str();
}

bool vmette_output_truncated(const vmette_output* output, vmette_stream stream) {
  const auto* found = find(output, stream);
  return found != nullptr && found->truncated();
}

uint64_t vmette_output_total(const vmette_output* output, vmette_stream stream) {
  const auto* found = find(output, stream);
  return found == nullptr ? 0 : found->total;
}

void vmette_output_delete(vmette_output* output) {
  delete output;
}

}  // extern "C"
