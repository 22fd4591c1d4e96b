/** @file stream.h
 * Streams, buffers and the log. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_STREAM_H
#define VMETTE_STREAM_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The bytes, followed by a NUL that does not count; `*size` may be NULL. Valid until delete. */
VMETTE_API const char* vmette_buffer_data(const vmette_buffer* buffer, size_t* size);
/** Frees the buffer; may be NULL. */
VMETTE_API void vmette_buffer_delete(vmette_buffer* buffer);

/** Names a command's streams. */
typedef int32_t vmette_stream;
enum {
  VMETTE_STDIN = 0,    /**< What the command reads. */
  VMETTE_STDOUT = 1,   /**< What it writes to stdout. */
  VMETTE_STDERR = 2,   /**< What it writes to stderr. */
  VMETTE_COMBINED = 3, /**< Captured stdout and stderr, in the order of arrival. */
};

/** How much the log says, see vmette_log_to_fd(). */
typedef int32_t vmette_log_level;
enum {
  VMETTE_LOG_OFF = 0,   /**< Nothing, the default. */
  VMETTE_LOG_ERROR = 1, /**< What went wrong. */
  VMETTE_LOG_INFO = 2,  /**< And the steps of every session. */
  VMETTE_LOG_DEBUG = 3, /**< And every command, and the guest's console. */
};

/**
 * Sends the library's log to a descriptor, one line per entry: milliseconds of the monotonic clock,
 * level, session number, text. The descriptor stays the caller's and must outlive its use; a line
 * that cannot be written at once, or whose reader has gone, is dropped. -1 turns the log off. For
 * the whole process, any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_log_to_fd(int fd, vmette_log_level level);

#ifdef __cplusplus
}
#endif

#endif
