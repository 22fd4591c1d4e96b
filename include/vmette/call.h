/** @file call.h
 * Calls to a running machine that return at once, for programs that wait for many things in one
 * place. Part of vmette.h, which has the conventions.
 *
 * Each vmette_session_begin_X() asks what vmette_session_X() of file.h asks, with the same
 * arguments, and does not wait: wrong arguments are told at once, everything else comes with the
 * call. `*out` is owned by the caller, free with vmette_call_delete(). Any thread, any number at a
 * time; in a paused session they wait.
 */
#ifndef VMETTE_CALL_H
#define VMETTE_CALL_H

#include <vmette/base.h>
#include <vmette/file.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Brings the content: vmette_call_take_buffer(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_read_file(vmette_session* session,
                                                                     const char* path, size_t most,
                                                                     vmette_call** out);
/** Copies the bytes until the call is over. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_write_file(
    vmette_session* session, const char* path, const void* data, size_t size,
    vmette_file_flags flags, uint32_t mode, vmette_call** out);
/** Brings what there is: vmette_call_take_stat(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_stat(vmette_session* session,
                                                                const char* path,
                                                                vmette_file_flags flags,
                                                                vmette_call** out);
/** Brings yes or no: vmette_call_take_exists(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_exists(vmette_session* session,
                                                                  const char* path,
                                                                  vmette_call** out);
/** Brings the entries: vmette_call_take_listing(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_list(vmette_session* session,
                                                                const char* path,
                                                                vmette_call** out);
/** Makes a directory. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_mkdir(vmette_session* session,
                                                                 const char* path, uint32_t mode,
                                                                 vmette_file_flags flags,
                                                                 vmette_call** out);
/** Removes what there is at a path. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_remove(vmette_session* session,
                                                                  const char* path,
                                                                  vmette_file_flags flags,
                                                                  vmette_call** out);
/** Renames what there is at a path. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_rename(vmette_session* session,
                                                                  const char* path, const char* to,
                                                                  vmette_file_flags flags,
                                                                  vmette_call** out);
/** Makes a symbolic link. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_symlink(vmette_session* session,
                                                                   const char* target,
                                                                   const char* path,
                                                                   vmette_call** out);
/** Sets permission bits. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_chmod(vmette_session* session,
                                                                 const char* path, uint32_t mode,
                                                                 vmette_call** out);
/** Sets owner and group. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_chown(vmette_session* session,
                                                                 const char* path, int64_t uid,
                                                                 int64_t gid,
                                                                 vmette_file_flags flags,
                                                                 vmette_call** out);
/** Sets the time of the last change. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_set_mtime(vmette_session* session,
                                                                     const char* path,
                                                                     int64_t mtime_ns,
                                                                     vmette_file_flags flags,
                                                                     vmette_call** out);
/** Brings how the guest is doing: vmette_call_take_stats(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_begin_stats(vmette_session* session,
                                                                 vmette_call** out);

/** Becomes readable when the call has succeeded or failed. Owned by the call; poll it, do not read
 * or close it. Any thread. */
VMETTE_API int vmette_call_done_fd(const vmette_call* call);
/**
 * Waits until the call is over and says how it went: what the function of file.h fails with,
 * VMETTE_E_CANCELLED, VMETTE_E_SESSION_ENDED, VMETTE_E_STATE (too many are open), or
 * VMETTE_E_DEADLINE, which leaves it going on. Any thread, any number.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_call_wait(const vmette_call* call, int64_t timeout_ms);

/**
 * The content that vmette_session_begin_read_file() asked for. `*out` is owned by the caller, free
 * with vmette_buffer_delete(). Fails as the call did, and with VMETTE_E_STATE when the call is not
 * over, brings something else, or its answer was taken before. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_call_take_buffer(vmette_call* call,
                                                              vmette_buffer** out);
/** The same for vmette_session_begin_stat(); free with vmette_stat_delete(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_call_take_stat(vmette_call* call, vmette_stat** out);
/** The same for vmette_session_begin_exists(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_call_take_exists(vmette_call* call, bool* out);
/** The same for vmette_session_begin_list(); free with vmette_listing_delete(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_call_take_listing(vmette_call* call,
                                                               vmette_listing** out);
/** The same for vmette_session_begin_stats(); free with vmette_stats_delete(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_call_take_stats(vmette_call* call, vmette_stats** out);

/** Gives the call up, unless it is over: what it had begun may be done. Returns at once. Any
 * thread. */
VMETTE_API void vmette_call_cancel(vmette_call* call);
/** Cancels the call if it is not over and frees it; may be NULL. Returns at once. No other call on
 * it may be under way or follow. The session may be gone before. */
VMETTE_API void vmette_call_delete(vmette_call* call);

#ifdef __cplusplus
}
#endif

#endif
