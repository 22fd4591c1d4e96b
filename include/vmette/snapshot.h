/** @file snapshot.h
 * Machines that were saved, and machines that start from them. Part of vmette.h, which has the
 * conventions; docs/snapshots.md has the whole picture. */
#ifndef VMETTE_SNAPSHOT_H
#define VMETTE_SNAPSHOT_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Prepares a machine before it is saved, on the thread and during the call that builds the
 * snapshot. Returns NULL, or an error of which it gives up ownership; then nothing is saved. Must
 * not end, pause or save the session.
 */
typedef vmette_error* (*vmette_warm_up)(void* env, vmette_session* session);

/**
 * Boots a machine of this configuration, runs its command, if it has one, and then `warm_up`, which
 * may be NULL, saves it at `path` and ends it. A command that does not end with 0 is
 * VMETTE_E_SNAPSHOT; its last words are in the message. Programs that are left running are saved as
 * they are. `path` becomes a directory, must not exist, and appears when everything is in it; what
 * a killed build has left beside it is removed. `*out` is owned by the caller, free with
 * vmette_snapshot_delete(); `out` may be NULL. Fails as vmette_session_start() does and with
 * VMETTE_E_SNAPSHOT or VMETTE_E_IO.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_snapshot_build(const vmette_config* config,
                                                            const char* path,
                                                            vmette_warm_up warm_up, void* env,
                                                            vmette_snapshot** out);
/**
 * Saves a session's machine at `path` while it is ready; it then goes on. Needs
 * vmette_config_set_snapshottable() or a session that was resumed itself. The guest's programs
 * stand still from its beginning until the RAM is copied, and its shares are unmounted meanwhile: a
 * program that uses one is VMETTE_E_SNAPSHOT, which names it. Streams of commands go on afterwards
 * without a loss, and no timeout counts the time. Commands and file operations that are asked for
 * meanwhile wait; another save, a pause and its end are VMETTE_E_STATE. Returns when the files are
 * on the disk, which takes longer than the guest waits.
 * `path` and `*out` as for vmette_snapshot_build(). Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_snapshot(vmette_session* session,
                                                              const char* path,
                                                              vmette_snapshot** out);
/**
 * Makes `count` machines that begin as this session's is now; it goes on as after
 * vmette_session_snapshot(). `sessions` has room for `count` handles, which are owned by the
 * caller, each ready and without a main command. Either all of them or none. What the copies share
 * needs no name and is gone with the last of them. `config`, which may be NULL, is what
 * vmette_snapshot_resume() takes. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_fork(vmette_session* session, size_t count,
                                                          const vmette_config* config,
                                                          vmette_session** sessions);

/**
 * Opens the snapshot at `path`: its manifest and files are there and whole. `*out` is owned by the
 * caller. VMETTE_E_SNAPSHOT when there is none, VMETTE_E_RESTORE_FAILED when it is damaged.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_snapshot_open(const char* path, vmette_snapshot** out);
/** Frees the handle; may be NULL. The directory stays. */
VMETTE_API void vmette_snapshot_delete(vmette_snapshot* snapshot);
/**
 * A machine that begins as the snapshot, started and ready. Any number of them at once, from any
 * number of processes; none of them changes the snapshot, and they live on when it is deleted.
 * `config`, which may be NULL, is read as vmette_config_set_resume_snapshot() says; its own
 * resume_snapshot is not looked at. `*out` is owned by the caller, free with
 * vmette_session_delete(). VMETTE_E_RESTORE_FAILED names what does not fit this host or this
 * configuration; otherwise it fails as vmette_session_start() does. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_snapshot_resume(const vmette_snapshot* snapshot,
                                                             const vmette_config* config,
                                                             vmette_session** out);
/** Reads every file that has a digest and compares. VMETTE_E_RESTORE_FAILED names the file.
 * VMETTE_E_STATE when the snapshot was built without snapshot_digests. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_snapshot_verify(const vmette_snapshot* snapshot);
/** Deletes the snapshot at `path`, which must be one. Machines that were resumed from it live on.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_snapshot_remove(const char* path);

/** Its directory, an absolute path. Valid until the handle is deleted, as all that follows. */
VMETTE_API const char* vmette_snapshot_path(const vmette_snapshot* snapshot);
/** When it was saved, in RFC 3339 form, UTC. */
VMETTE_API const char* vmette_snapshot_created_at(const vmette_snapshot* snapshot);
/** Its manifest, as docs/snapshots.md describes it: JSON. */
VMETTE_API const char* vmette_snapshot_manifest(const vmette_snapshot* snapshot);
/** vCPUs of the machine. */
VMETTE_API uint32_t vmette_snapshot_vcpus(const vmette_snapshot* snapshot);
/** Memory of the machine. */
VMETTE_API uint64_t vmette_snapshot_mem_mib(const vmette_snapshot* snapshot);
/** For how long the machine's vCPUs stood still while it was saved. */
VMETTE_API uint64_t vmette_snapshot_pause_us(const vmette_snapshot* snapshot);
/** Bytes of its files; those that take room on a disk may be fewer, RAM that is zero takes none. */
VMETTE_API uint64_t vmette_snapshot_bytes(const vmette_snapshot* snapshot);

#ifdef __cplusplus
}
#endif

#endif
