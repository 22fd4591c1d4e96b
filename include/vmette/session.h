/** @file session.h
 * One virtual machine, from its start to its end. Part of vmette.h, which has the conventions. */
#ifndef VMETTE_SESSION_H
#define VMETTE_SESSION_H

#include <vmette/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Values of vmette_session_state(). */
typedef int32_t vmette_state;
enum {
  VMETTE_STATE_CREATED = 0,  /**< Not started. */
  VMETTE_STATE_STARTING = 1, /**< Booting. */
  VMETTE_STATE_READY = 2,    /**< The root is set up, commands run. */
  VMETTE_STATE_PAUSED = 3,   /**< The vCPUs stand still. */
  VMETTE_STATE_ENDED = 4,    /**< Over; nothing of the machine is left. */
};

/** Values of vmette_session_end(): why a session ended. The first cause wins. */
typedef int32_t vmette_end;
enum {
  VMETTE_END_NONE = 0,      /**< It has not ended. */
  VMETTE_END_EXITED = 1,    /**< Its command ended, see vmette_session_exit_code(). */
  VMETTE_END_TIMED_OUT = 2, /**< timeout_seconds passed. */
  VMETTE_END_STOPPED = 3,   /**< Someone stopped it. */
  VMETTE_END_ERROR = 4,     /**< It failed, see vmette_session_end_message(). */
};

/**
 * A session of the given configuration, which it copies. Nothing is started. `*out` is owned by
 * the caller, free with vmette_session_delete(). Fails as vmette_config_validate() does.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_new(const vmette_config* config,
                                                         vmette_session** out);
/**
 * Ends the machine if it still runs, waits until nothing of it is left, and frees the session; may
 * be NULL. No other call on the session may be under way or follow.
 */
VMETTE_API void vmette_session_delete(vmette_session* session);

/**
 * Boots the machine and waits until it is ready (and, with a command, until that has started), at
 * most the configuration's ready timeout. Same as vmette_session_launch() and
 * vmette_session_wait_ready(). Fails with VMETTE_E_START_FAILED, VMETTE_E_NOT_FOUND,
 * VMETTE_E_SPAWN, or VMETTE_E_SESSION_ENDED when it was stopped meanwhile.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_start(vmette_session* session);
/** Starts booting and returns at once. VMETTE_E_STATE on a second call. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_launch(vmette_session* session);
/** Waits until the session is ready or has failed. Fails as vmette_session_start() does, or with
 * VMETTE_E_DEADLINE. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_wait_ready(vmette_session* session,
                                                                int64_t timeout_ms);
/** Waits until the session has ended and nothing of the machine is left. Fails with
 * VMETTE_E_DEADLINE, or VMETTE_E_STATE before the start. Any thread, any number of them. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_wait(vmette_session* session,
                                                          int64_t timeout_ms);
/**
 * Ends the session in an orderly way: commands get SIGTERM and, `grace_ms` later, SIGKILL, file
 * systems are flushed, the machine powers off. What is not over two seconds after the grace is
 * killed. Returns when it is over; at once when the session has ended or was never started. Any
 * thread, also during the start.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_stop(vmette_session* session,
                                                          uint32_t grace_ms);
/** Ends the session at once, like a power cut. Returns when it is over. Any thread, also during the
 * start. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_kill(vmette_session* session);
/**
 * Asks for the end that vmette_session_stop() brings, and returns at once;
 * vmette_session_end_fd() tells when it is over. For a session that has ended or was never started
 * nothing happens: a start that follows is not stopped. Any thread, also during the start.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_request_stop(vmette_session* session,
                                                                  uint32_t grace_ms);
/** The same for the end that vmette_session_kill() brings. Also cuts short a stop under way. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_request_kill(vmette_session* session);

/** The session's state, one of VMETTE_STATE_*. */
VMETTE_API vmette_state vmette_session_state(const vmette_session* session);
/** Why the session ended, one of VMETTE_END_*. */
VMETTE_API vmette_end vmette_session_end(const vmette_session* session);
/**
 * With VMETTE_END_EXITED: the command's exit code, 128+n when signal n ended it.
 * VMETTE_END_TIMED_OUT: 124. VMETTE_END_STOPPED: 0. VMETTE_END_ERROR: 1. Before the end: -1.
 */
VMETTE_API int32_t vmette_session_exit_code(const vmette_session* session);
/** One line about the end, empty before it. Valid until the session is deleted. */
VMETTE_API const char* vmette_session_end_message(const vmette_session* session);
/** The kernel's full command line, empty before the machine exists. Valid until the session is
 * deleted. */
VMETTE_API const char* vmette_session_cmdline(const vmette_session* session);
/** The host's vsock port, 0 when there is none. */
VMETTE_API uint32_t vmette_session_vsock_port(const vmette_session* session);
/**
 * A descriptor that becomes readable when the session is ready or has failed. Owned by the session;
 * poll it, do not read or close it.
 */
VMETTE_API int vmette_session_ready_fd(const vmette_session* session);
/** The same for the session's end. */
VMETTE_API int vmette_session_end_fd(const vmette_session* session);

/**
 * Points of the boot, in order: "helper spawned", "hypervisor started", "kernel up", "agent
 * hello", "root ready", "command started", and steps of the guest in between. Entries are only
 * ever added.
 */
VMETTE_API size_t vmette_session_timeline_count(const vmette_session* session);
/** Name of entry `index`, NULL past the end. Valid until the session is deleted. */
VMETTE_API const char* vmette_session_timeline_name(const vmette_session* session, size_t index);
/** Microseconds from the launch to entry `index`, 0 past the end. */
VMETTE_API uint64_t vmette_session_timeline_us(const vmette_session* session, size_t index);

/**
 * What the session's command has printed so far, and how it ended if it has. Needs
 * capture_output. `*out` is owned by the caller, free with vmette_output_delete(), and does not
 * change afterwards. Any thread, before and after the end.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_output(const vmette_session* session,
                                                            vmette_output** out);

/**
 * Stops the vCPUs. Time that passes until vmette_session_unpause() counts for no timeout of the
 * session or of its commands. VMETTE_E_STATE when the session is not ready. Returns when they
 * stand still. Any thread.
 */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_pause(vmette_session* session);
/** Lets the vCPUs go on. VMETTE_E_STATE when the session is not paused. Any thread. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_unpause(vmette_session* session);
/** The last 64 KiB that the guest printed on its console. `*out` is owned by the caller. Any
 * thread, before and after the end. */
VMETTE_API VMETTE_CHECK vmette_error* vmette_session_console(const vmette_session* session,
                                                             vmette_buffer** out);

#ifdef __cplusplus
}
#endif

#endif
