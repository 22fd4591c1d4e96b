/** @file copy.h
 * Directory trees between host and machine. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_COPY_H
#define VMETTE_COPY_H

#include <vmette/base.h>
#include <vmette/file.h>
#include <vmette/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Copies a directory with all that is in it, or one file, from the host into the machine. What is
 * at `host_path` becomes `guest_path`; a directory that is there is filled up, files in it are
 * replaced.
 *
 * Kept: content with its holes, permission bits, symbolic links as they are, times of the last
 * change; with VMETTE_FILE_OWNERS uids and gids, else all belongs to root. Not kept: hard links
 * (they become files of their own), extended attributes. Devices, sockets and named pipes are
 * skipped and counted; links are never followed, `host_path` itself excepted; what is mounted in
 * the tree is an empty directory. Directories may be nested 256 deep.
 *
 * `flags`: PARENTS, OWNERS. `progress`, which may be NULL, hears the path that is being copied and
 * the bytes of content so far, with a total of 0, and the same again while the guest is silent, so
 * that it can give up; it borrows `env`. `timeout_ms` is for all of it.
 * `*out`, which is owned by the caller, says how much it was, free with vmette_copied_delete();
 * `out` may be NULL. Blocks, and needs the disk, on the calling thread only. A copy that fails
 * leaves what it has made. VMETTE_E_IO is the host's errno, VMETTE_E_FILE the guest's.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_copy_in(
    vmette_session* session, const char* host_path, const char* guest_path, vmette_file_flags flags,
    vmette_progress progress, void* env, int64_t timeout_ms, vmette_copied** out);
/**
 * The same from the machine to the host. Whatever the guest says, nothing outside `host_path` is
 * written: files are made anew instead of written through what is there, no link in the tree is
 * followed, setuid, setgid and sticky bits are dropped, and no device node is made. What links say
 * is the guest's, so follow none of them unseen. More than `most_bytes` of content is EFBIG.
 * VMETTE_FILE_OWNERS needs a host program that may give files away.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_copy_out(
    vmette_session* session, const char* guest_path, const char* host_path, vmette_file_flags flags,
    uint64_t most_bytes, vmette_progress progress, void* env, int64_t timeout_ms,
    vmette_copied** out);

/** Files, directories and links that were copied. */
VMETTE_API uint64_t vmette_copied_entries(const vmette_copied* copied);
/** Bytes of content that were copied, holes not counted. */
VMETTE_API uint64_t vmette_copied_bytes(const vmette_copied* copied);
/** Devices, sockets and named pipes that were not. */
VMETTE_API uint64_t vmette_copied_skipped(const vmette_copied* copied);
/** Frees it; may be NULL. */
VMETTE_API void vmette_copied_delete(vmette_copied* copied);

#ifdef __cplusplus
}
#endif

#endif
