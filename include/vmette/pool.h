/** @file pool.h
 * Machines that are ready before somebody wants them. Part of vmette.h, which has the conventions.
 *
 * A pool starts machines of one configuration in the background, keeps some of them ready, and
 * hands each out once, first come, first served. With a configuration that resumes a snapshot the
 * machines are clones of a warm one. What is taken is an ordinary session: the pool never gets it
 * back, and starts another in its place.
 */
#ifndef VMETTE_POOL_H
#define VMETTE_POOL_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Options with the defaults named below. `*out` is owned by the caller, free with
 * vmette_pool_options_delete(). One thread at a time may use them; pools copy them. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_options_new(vmette_pool_options** out);
/** Frees the options; may be NULL. */
VMETTE_API void vmette_pool_options_delete(vmette_pool_options* options);
/** How many machines are kept ready. Default 1, at least 1. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_options_set_ready(vmette_pool_options* options,
                                                                    uint32_t machines);
/**
 * How many machines live at a time: ready ones, those that start or end, and sessions that were
 * taken and have not ended. At the limit a take waits until a session ends. At least as many as
 * are kept ready; the default 0 means no limit.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_options_set_most(vmette_pool_options* options,
                                                                   uint32_t machines);
/**
 * After so long without a take, and with nobody waiting, the pool ends the machines that are ready;
 * the next take starts them again. Default 0: never.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_options_set_idle_ms(vmette_pool_options* options,
                                                                      uint32_t idle_ms);

/**
 * A pool of machines of this configuration. Borrows both; `options` may be NULL for the defaults.
 * Checks the configuration and fetches its root as vmette_session_new() does, then returns at once
 * and starts machines in the background, as many at a time as the host has processors. They can be
 * saved: vmette_config_set_snapshottable() is implied, with all that it refuses. Refused as well,
 * with VMETTE_E_INVALID_CONFIG: a command (run it in the session that you take), build_snapshot,
 * and timeout_seconds, which would pass while a machine waits. VMETTE_E_INVALID_ARGUMENT when the
 * options contradict each other. `*out` is owned by the caller, free with vmette_pool_delete().
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_new(const vmette_config* config,
                                                      const vmette_pool_options* options,
                                                      vmette_pool** out);
/**
 * Closes the pool and frees it; may be NULL. No other call on it may be under way or follow.
 * Sessions and requests that came from it live on.
 */
VMETTE_API void vmette_pool_delete(vmette_pool* pool);
/**
 * Closes the pool: whoever waits fails with VMETTE_E_STATE, as every later take does; machines that
 * are ready or starting are ended. Returns when nothing of them is left. Sessions that were taken
 * are not touched. Any thread, any number of times.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_close(vmette_pool* pool);

/**
 * Takes a ready machine, or waits its turn: takes and requests are served in the order of the
 * calls. `*out` is a session as vmette_session_start() leaves it, owned by the caller, free with
 * vmette_session_delete(); it may outlive the pool, and its end makes room for another. A machine
 * that has died is not handed out; one that dies in that very moment is a session that has ended.
 *
 * VMETTE_E_DEADLINE gives the place up; a machine that comes in the last instant is handed out.
 * VMETTE_E_STATE when the pool is closed. When a start fails and no other is under way, all who
 * wait get that start's error: one as of vmette_session_start() or vmette_session_new(). While
 * nobody waits the pool tries again by itself, at growing distances up to five seconds; a take
 * makes it try at once. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_take(vmette_pool* pool, int64_t timeout_ms,
                                                       vmette_session** out);
/**
 * The same for a program that waits for descriptors: takes a place in the queue and returns at
 * once. `*out` is owned by the caller, free with vmette_pool_request_delete(). Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_request_new(vmette_pool* pool,
                                                              vmette_pool_request** out);
/** Becomes readable when the request's turn has come, or when it has failed. Owned by the request;
 * poll it, do not read or close it. */
VMETTE_API int vmette_pool_request_fd(const vmette_pool_request* request);
/**
 * Hands the machine out, or says what the request has failed with, as vmette_pool_take() does.
 * VMETTE_E_DEADLINE leaves the request in its place. VMETTE_E_STATE when it has given its machine
 * already. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_request_take(vmette_pool_request* request,
                                                               int64_t timeout_ms,
                                                               vmette_session** out);
/**
 * Frees the request; may be NULL. One that waits gives its place up. A machine that it has and
 * nobody took goes to the next who waits; when the pool is closed it is ended, and the call returns
 * when nothing of it is left. No other call on the request may be under way or follow.
 */
VMETTE_API void vmette_pool_request_delete(vmette_pool_request* request);

/** How the pool is doing at this moment. `*out` is owned by the caller, free with
 * vmette_pool_counts_delete(), and does not change. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_pool_count(const vmette_pool* pool,
                                                        vmette_pool_counts** out);
/** Frees the figures; may be NULL. */
VMETTE_API void vmette_pool_counts_delete(vmette_pool_counts* counts);
/** Machines that are ready. */
VMETTE_API size_t vmette_pool_counts_ready(const vmette_pool_counts* counts);
/** Machines that are being started. */
VMETTE_API size_t vmette_pool_counts_starting(const vmette_pool_counts* counts);
/** Sessions that were handed out and have not ended. */
VMETTE_API size_t vmette_pool_counts_taken(const vmette_pool_counts* counts);
/** Machines that the pool is ending. */
VMETTE_API size_t vmette_pool_counts_ending(const vmette_pool_counts* counts);
/** Takes and requests that wait. */
VMETTE_API size_t vmette_pool_counts_waiting(const vmette_pool_counts* counts);
/** Starts so far, those that failed included. */
VMETTE_API uint64_t vmette_pool_counts_started(const vmette_pool_counts* counts);
/** Starts that failed. */
VMETTE_API uint64_t vmette_pool_counts_failed(const vmette_pool_counts* counts);
/** Machines that ended by themselves while they were ready. */
VMETTE_API uint64_t vmette_pool_counts_died(const vmette_pool_counts* counts);
/** Why the last start failed or the last machine died, in one line; empty when none has. Valid
 * until the figures are deleted. */
VMETTE_API const char* vmette_pool_counts_last_error(const vmette_pool_counts* counts);

#ifdef __cplusplus
}
#endif

#endif
