/** @file file.h
 * Files of a running machine, and what it says of itself. Part of vmette.h, which has the
 * conventions.
 *
 * Every call here asks the guest's agent, as root, in the root that commands see. Paths are
 * absolute; links in them are followed within that root. A call that fails in the guest is
 * VMETTE_E_FILE: the message names the path, vmette_error_errno() is Linux's errno. When
 * `timeout_ms` passes first the call is given up and fails with VMETTE_E_DEADLINE; what it had
 * begun may be done. All calls are for a ready session, from any thread, any number at a time; in a
 * paused one they wait.
 */
#ifndef VMETTE_FILE_H
#define VMETTE_FILE_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of vmette_stat_type(). */
typedef int32_t vmette_file_type;
enum {
  VMETTE_FILE_UNKNOWN = 0,      /**< None of these, or not known. */
  VMETTE_FILE_REGULAR = 1,      /**< A file with content. */
  VMETTE_FILE_DIRECTORY = 2,    /**< A directory. */
  VMETTE_FILE_SYMLINK = 3,      /**< A symbolic link. */
  VMETTE_FILE_CHAR_DEVICE = 4,  /**< A character device node. */
  VMETTE_FILE_BLOCK_DEVICE = 5, /**< A block device node. */
  VMETTE_FILE_FIFO = 6,         /**< A named pipe. */
  VMETTE_FILE_SOCKET = 7,       /**< A UNIX socket. */
};

/** Bits that change what a call does; 0 for none. A bit that a call does not name is
 * VMETTE_E_INVALID_ARGUMENT. */
typedef uint32_t vmette_file_flags;
enum {
  VMETTE_FILE_FOLLOW = 1,     /**< A link's target instead of the link itself. */
  VMETTE_FILE_PARENTS = 2,    /**< Make the directories above that are missing, mode 0755. */
  VMETTE_FILE_RECURSIVE = 4,  /**< A directory with all that is in it. */
  VMETTE_FILE_APPEND = 8,     /**< Behind what the file holds. */
  VMETTE_FILE_EXCLUSIVE = 16, /**< Fail with EEXIST when there is something. */
  /** Write under another name, which takes the file's place when all is written: readers see the
   * old content or the new one. Replaces a link itself. */
  VMETTE_FILE_ATOMIC = 32,
  VMETTE_FILE_OWNERS = 64, /**< Keep uids and gids. */
};

/** As `mode` of a write: 0644 for a new file, what it has for one that exists. */
#define VMETTE_MODE_KEEP UINT32_MAX

/**
 * Reads a whole file. One of more than `most` bytes fails with EFBIG; see
 * vmette_session_open_read() for those. `*out` is owned by the caller, free with
 * vmette_buffer_delete().
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_read_file(vmette_session* session,
                                                               const char* path, size_t most,
                                                               int64_t timeout_ms,
                                                               vmette_buffer** out);
/**
 * Writes a whole file, which is made, or emptied first. `flags`: APPEND, ATOMIC, EXCLUSIVE,
 * PARENTS. `mode`: permission bits, or VMETTE_MODE_KEEP. Copies the bytes for its duration; `data`
 * may be NULL with a size of 0. A write that fails or is given up leaves part of the content, with
 * ATOMIC nothing.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_write_file(vmette_session* session,
                                                                const char* path, const void* data,
                                                                size_t size,
                                                                vmette_file_flags flags,
                                                                uint32_t mode, int64_t timeout_ms);
/** What there is at a path. `flags`: FOLLOW. `*out` is owned by the caller, free with
 * vmette_stat_delete(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_stat(vmette_session* session, const char* path,
                                                          vmette_file_flags flags,
                                                          int64_t timeout_ms, vmette_stat** out);
/** Whether there is something at a path, a link that leads nowhere included. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_exists(vmette_session* session,
                                                            const char* path, int64_t timeout_ms,
                                                            bool* out);
/** What is in a directory, "." and ".." left out, sorted by the names' bytes. At most 64 MiB of
 * names and data, or 524,288 entries, EFBIG beyond. An entry that the guest cannot look at is of
 * type VMETTE_FILE_UNKNOWN. `*out` is owned by the caller, free with vmette_listing_delete().
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_list(vmette_session* session, const char* path,
                                                          int64_t timeout_ms, vmette_listing** out);
/** Makes a directory of exactly these permission bits. `flags`: PARENTS, with which a directory
 * that is there is no error either. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_mkdir(vmette_session* session,
                                                           const char* path, uint32_t mode,
                                                           vmette_file_flags flags,
                                                           int64_t timeout_ms);
/** Removes a file, a link itself, or an empty directory. `flags`: RECURSIVE, which stops with an
 * error at the first thing that cannot be removed; a mount point is one (EBUSY). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_remove(vmette_session* session,
                                                            const char* path,
                                                            vmette_file_flags flags,
                                                            int64_t timeout_ms);
/** Renames as rename(2) does: what is at `to` is replaced. `flags`: EXCLUSIVE, which a directory on
 * a 9p share cannot have (EPERM). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_rename(vmette_session* session,
                                                            const char* path, const char* to,
                                                            vmette_file_flags flags,
                                                            int64_t timeout_ms);
/** Makes a symbolic link at `path` that says `target`, whatever that is. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_symlink(vmette_session* session,
                                                             const char* target, const char* path,
                                                             int64_t timeout_ms);
/** Sets permission bits (at most 07777) of a file or of a link's target. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_chmod(vmette_session* session,
                                                           const char* path, uint32_t mode,
                                                           int64_t timeout_ms);
/** Sets owner and group; -1 leaves one as it is. `flags`: FOLLOW. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_chown(vmette_session* session,
                                                           const char* path, int64_t uid,
                                                           int64_t gid, vmette_file_flags flags,
                                                           int64_t timeout_ms);
/** Sets the time of the last change, nanoseconds since 1970. `flags`: FOLLOW. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_set_mtime(vmette_session* session,
                                                               const char* path, int64_t mtime_ns,
                                                               vmette_file_flags flags,
                                                               int64_t timeout_ms);

/** One of VMETTE_FILE_REGULAR and its neighbours. */
VMETTE_API vmette_file_type vmette_stat_type(const vmette_stat* stat);
/** Permission bits, at most 07777. */
VMETTE_API uint32_t vmette_stat_mode(const vmette_stat* stat);
/** Bytes of content. */
VMETTE_API uint64_t vmette_stat_size(const vmette_stat* stat);
/** Bytes that it takes on its file system: fewer than the size when it has holes. */
VMETTE_API uint64_t vmette_stat_disk_bytes(const vmette_stat* stat);
/** The owner's number. */
VMETTE_API uint32_t vmette_stat_uid(const vmette_stat* stat);
/** The group's number. */
VMETTE_API uint32_t vmette_stat_gid(const vmette_stat* stat);
/** The inode's number. */
VMETTE_API uint64_t vmette_stat_inode(const vmette_stat* stat);
/** How many names it has. */
VMETTE_API uint64_t vmette_stat_links(const vmette_stat* stat);
/** A device node's number as Linux encodes it, else 0. */
VMETTE_API uint64_t vmette_stat_device(const vmette_stat* stat);
/** Time of the last change, nanoseconds since 1970. */
VMETTE_API int64_t vmette_stat_mtime_ns(const vmette_stat* stat);
/** What a symbolic link says, empty for others. Valid until the stat or its listing is deleted. */
VMETTE_API const char* vmette_stat_target(const vmette_stat* stat);
/** Frees it; may be NULL. Not for those that belong to a listing. */
VMETTE_API void vmette_stat_delete(vmette_stat* stat);

/** How many entries there are. */
VMETTE_API size_t vmette_listing_count(const vmette_listing* listing);
/** The name of entry `index`, bytes as they are, NULL past the end. Valid until delete. */
VMETTE_API const char* vmette_listing_name(const vmette_listing* listing, size_t index);
/** What entry `index` is, a link itself, NULL past the end. Owned by the listing. */
VMETTE_API const vmette_stat* vmette_listing_stat(const vmette_listing* listing, size_t index);
/** Frees the listing; may be NULL. */
VMETTE_API void vmette_listing_delete(vmette_listing* listing);

/** How the guest is doing. `*out` is owned by the caller, free with vmette_stats_delete(). */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_stats(vmette_session* session,
                                                           int64_t timeout_ms, vmette_stats** out);
/** Microseconds that the guest's kernel has been running. */
VMETTE_API uint64_t vmette_stats_uptime_us(const vmette_stats* stats);
/** KiB of memory that the guest's kernel manages. */
VMETTE_API uint64_t vmette_stats_memory_kib(const vmette_stats* stats);
/** KiB that commands could still use without anything being killed, by the kernel's estimate. */
VMETTE_API uint64_t vmette_stats_memory_available_kib(const vmette_stats* stats);
/** Load average times 1000, over 1, 5 and 15 minutes (`index` 0, 1, 2); 0 for other indexes. */
VMETTE_API uint32_t vmette_stats_load_milli(const vmette_stats* stats, size_t index);
/** Processes in the guest, the agent and the kernel's own included. */
VMETTE_API uint32_t vmette_stats_processes(const vmette_stats* stats);
/** Bytes of the file system that changes of the root go to. */
VMETTE_API uint64_t vmette_stats_root_bytes(const vmette_stats* stats);
/** Bytes of them that are free. */
VMETTE_API uint64_t vmette_stats_root_available_bytes(const vmette_stats* stats);
/** Frees it; may be NULL. */
VMETTE_API void vmette_stats_delete(vmette_stats* stats);

#ifdef __cplusplus
}
#endif

#endif
