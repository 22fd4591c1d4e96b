/** @file transfer.h
 * Files of a running machine as streams, for those that are larger than memory. Part of vmette.h,
 * which has the conventions. */
#ifndef VMETTE_TRANSFER_H
#define VMETTE_TRANSFER_H

#include <vmette/base.h>
#include <vmette/file.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Reads a file from `offset` on, at most `length` bytes (UINT64_MAX: to its end). Returns at once;
 * the content comes on vmette_transfer_fd(), which ends early when the guest cannot read it:
 * vmette_transfer_wait() says whether all of it came. A reader that stops costs at most 1.25 MiB.
 * `*out` is owned by the caller, free with vmette_transfer_delete(). Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_open_read(vmette_session* session,
                                                               const char* path, uint64_t offset,
                                                               uint64_t length,
                                                               vmette_transfer** out);
/**
 * Writes a file with what the caller writes into vmette_transfer_fd(). Close that descriptor, then
 * wait: only then is the content complete, and with ATOMIC in its place. `flags` and `mode` as for
 * vmette_session_write_file(). When the guest cannot write it, the descriptor gives EPIPE. `*out`
 * as above. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_open_write(vmette_session* session,
                                                                const char* path,
                                                                vmette_file_flags flags,
                                                                uint32_t mode,
                                                                vmette_transfer** out);

/** The caller's end of the content, a blocking pipe; -1 when it was taken or closed. Owned by the
 * transfer. Any thread. */
VMETTE_API int vmette_transfer_fd(const vmette_transfer* transfer);
/** The same, and from now on the caller's to close. Any thread. */
VMETTE_API int vmette_transfer_take_fd(vmette_transfer* transfer);
/** Closes the descriptor, if it is still there: the end of what is written; a read that is not over
 * is given up. Any thread. */
VMETTE_API void vmette_transfer_close_fd(vmette_transfer* transfer);
/** Becomes readable when the transfer has succeeded or failed. Owned by the transfer; poll it, do
 * not read or close it. */
VMETTE_API int vmette_transfer_done_fd(const vmette_transfer* transfer);
/**
 * Waits until the transfer is over and says how it went: VMETTE_E_FILE, VMETTE_E_CANCELLED,
 * VMETTE_E_SESSION_ENDED, VMETTE_E_STATE (too many are open), or VMETTE_E_DEADLINE, which leaves it
 * going on. Any thread, any number.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_transfer_wait(const vmette_transfer* transfer,
                                                           int64_t timeout_ms);
/** Bytes of content that have gone through the library so far. Any thread. */
VMETTE_API uint64_t vmette_transfer_bytes(const vmette_transfer* transfer);
/** Gives the transfer up, unless it is over: an atomic write changes nothing, another one leaves
 * what was written. Returns at once. Any thread. */
VMETTE_API void vmette_transfer_cancel(vmette_transfer* transfer);
/** Cancels the transfer if it is not over, closes its descriptor and frees it; may be NULL. No
 * other call on it may be under way or follow. The session may be gone before. */
VMETTE_API void vmette_transfer_delete(vmette_transfer* transfer);

#ifdef __cplusplus
}
#endif

#endif
