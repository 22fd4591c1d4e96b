/** @file output.h
 * How a command ended, and what it printed. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_OUTPUT_H
#define VMETTE_OUTPUT_H

#include <vmette/session.h>
#include <vmette/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the session or the command ended, VMETTE_END_NONE while it had not. */
VMETTE_API vmette_end vmette_output_end(const vmette_output* output);
/** As vmette_session_exit_code(). */
VMETTE_API int32_t vmette_output_exit_code(const vmette_output* output);
/** As vmette_session_end_message(), copied: empty while the session had not ended. Valid until
 * delete. */
VMETTE_API const char* vmette_output_end_message(const vmette_output* output);
/** The captured bytes of a stream, followed by a NUL that does not count; `*size` may be NULL.
 * Valid until delete. */
VMETTE_API const char* vmette_output_data(const vmette_output* output, vmette_stream stream,
                                          size_t* size);
/** True when bytes of that stream were dropped because the capture limit was reached. */
VMETTE_API bool vmette_output_truncated(const vmette_output* output, vmette_stream stream);
/** How many bytes that stream carried, kept or dropped. */
VMETTE_API uint64_t vmette_output_total(const vmette_output* output, vmette_stream stream);
/** Frees the output; may be NULL. */
VMETTE_API void vmette_output_delete(vmette_output* output);

#ifdef __cplusplus
}
#endif

#endif
