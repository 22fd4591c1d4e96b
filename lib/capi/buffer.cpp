#include "capi/handles.h"
#include "core/log.h"

extern "C" {

const char* vmette_buffer_data(const vmette_buffer* buffer, size_t* size) {
  if (size != nullptr) *size = buffer == nullptr ? 0 : buffer->data.size();
  return buffer == nullptr ? "" : buffer->data.c_str();
}

void vmette_buffer_delete(vmette_buffer* buffer) {
  delete buffer;
}

vmette_error* vmette_log_to_fd(int fd, vmette_log_level level) {
  if (level < VMETTE_LOG_OFF || level > VMETTE_LOG_DEBUG)
    return vmette::capi::bad_choice(__func__, "level", level, VMETTE_LOG_DEBUG);
  vmette::core::set_log(fd, static_cast<vmette::core::LogLevel>(level));
  return nullptr;
}

}  // extern "C"
